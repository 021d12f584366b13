defmodule Snakepit.Log.Budget do
  @moduledoc false
  # How many lines may be logged: so many a second in the long run, and as many at once. A long line
  # counts as several.

  @rate 1_000
  # So many bytes of a line count as much as a line.
  @bytes 1_000

  defstruct left: @rate * 1.0, filled: nil

  @type t :: %__MODULE__{left: float(), filled: integer() | nil}

  @spec new() :: t()
  def new, do: %__MODULE__{filled: now()}

  @doc """
  What the time since the last look has brought.
  """
  @spec fill(t()) :: t()
  def fill(%__MODULE__{left: left, filled: filled}) do
    now = now()
    %__MODULE__{left: min(@rate * 1.0, left + (now - filled) * @rate / 1_000_000), filled: now}
  end

  @spec empty(t()) :: t()
  def empty(%__MODULE__{left: left} = budget), do: %{budget | left: min(left, 0.0)}

  @spec left?(t()) :: boolean()
  def left?(%__MODULE__{left: left}), do: left >= 1.0

  @doc """
  Takes a line of so many bytes. The budget may owe for a long one.
  """
  @spec take(t(), non_neg_integer()) :: t()
  def take(%__MODULE__{left: left} = budget, bytes),
    do: %{budget | left: left - 1.0 - bytes / @bytes}

  defp now, do: System.monotonic_time(:microsecond)
end
