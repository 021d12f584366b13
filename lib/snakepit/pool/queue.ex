defmodule Snakepit.Pool.Queue do
  @moduledoc false
  # The callers that wait for a slot, first come first served. One caller waits for
  # any worker or for one worker; a slot goes to whoever of the two has waited longer.
  # Leaving is exact, so the length is always the number of callers that wait.

  defstruct next: 0, lines: %{}, places: %{}

  @type target :: Snakepit.Pool.Slots.target()
  @type token :: Snakepit.Pool.Slots.token()
  @type t :: %__MODULE__{
          next: non_neg_integer(),
          lines: %{target() => :gb_trees.tree(non_neg_integer(), {token(), term()})},
          places: %{token() => {target(), non_neg_integer()}}
        }

  @spec new() :: t()
  def new, do: %__MODULE__{}

  @spec size(t()) :: non_neg_integer()
  def size(%__MODULE__{places: places}), do: map_size(places)

  @doc """
  Does anybody wait for exactly this target?
  """
  @spec waiting?(t(), target()) :: boolean()
  def waiting?(%__MODULE__{lines: lines}, target), do: is_map_key(lines, target)

  @doc """
  The workers somebody waits for by name.
  """
  @spec wanted(t()) :: [Snakepit.Pool.Slots.worker()]
  def wanted(%__MODULE__{lines: lines}), do: lines |> Map.delete(:any) |> Map.keys()

  @spec push(t(), target(), token(), term()) :: t()
  def push(%__MODULE__{next: next} = queue, target, token, entry) do
    line = Map.get_lazy(queue.lines, target, &:gb_trees.empty/0)

    %{
      queue
      | next: next + 1,
        lines: Map.put(queue.lines, target, :gb_trees.insert(next, {token, entry}, line)),
        places: Map.put(queue.places, token, {target, next})
    }
  end

  @doc """
  Who of those that wait for one of `targets` is next.
  """
  @spec peek(t(), [target()]) :: {token(), term()} | nil
  def peek(%__MODULE__{lines: lines}, targets) do
    targets
    |> Enum.filter(&is_map_key(lines, &1))
    |> Enum.map(&:gb_trees.smallest(Map.fetch!(lines, &1)))
    |> Enum.min(fn -> {nil, nil} end)
    |> elem(1)
  end

  @spec pop(t(), token()) :: {term(), t()} | nil
  def pop(%__MODULE__{} = queue, token) do
    case Map.pop(queue.places, token) do
      {nil, _places} ->
        nil

      {{target, place}, places} ->
        {{^token, entry}, line} = :gb_trees.take(place, Map.fetch!(queue.lines, target))
        {entry, %{queue | places: places, lines: put_line(queue.lines, target, line)}}
    end
  end

  @doc """
  Everybody who waits for `target`, in order, and the queue without them.
  """
  @spec pop_all(t(), target()) :: {[term()], t()}
  def pop_all(%__MODULE__{} = queue, target) do
    entries = queue.lines |> Map.get_lazy(target, &:gb_trees.empty/0) |> :gb_trees.values()
    places = Map.drop(queue.places, Enum.map(entries, &elem(&1, 0)))

    {Enum.map(entries, &elem(&1, 1)),
     %{queue | lines: Map.delete(queue.lines, target), places: places}}
  end

  @spec targets(t()) :: [target()]
  def targets(%__MODULE__{lines: lines}), do: Map.keys(lines)

  defp put_line(lines, target, line) do
    if :gb_trees.is_empty(line), do: Map.delete(lines, target), else: Map.put(lines, target, line)
  end
end
