defmodule Snakepit.Jobs.InOrder do
  @moduledoc false
  # Holds results back until those before them are there, if that is wished.

  defstruct [:ordered, next: 0, held: %{}]

  @type t :: %__MODULE__{
          ordered: boolean(),
          next: non_neg_integer(),
          held: %{non_neg_integer() => map()}
        }

  @spec new(boolean()) :: t()
  def new(ordered), do: %__MODULE__{ordered: ordered}

  @spec held(t()) :: non_neg_integer()
  def held(%__MODULE__{held: held}), do: map_size(held)

  @doc """
  Takes the result of item `number`, and gives all whose turn it is.
  """
  @spec put(t(), non_neg_integer(), map()) :: {[map()], t()}
  def put(%__MODULE__{ordered: false} = order, _number, result), do: {[result], order}
  def put(order, number, result), do: take(put_in(order.held[number], result), [])

  defp take(%{next: next, held: held} = order, taken) when is_map_key(held, next) do
    {result, held} = Map.pop!(held, next)
    take(%{order | next: next + 1, held: held}, [result | taken])
  end

  defp take(order, taken), do: {Enum.reverse(taken), order}
end
