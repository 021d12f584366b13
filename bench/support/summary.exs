defmodule Bench.Summary do
  @moduledoc false
  # The middle of the rounds and how far they reach.

  @type t :: %{median: float(), min: float(), max: float()}

  @doc """
  One figure of one system, or `nil` if it was not asked.
  """
  def figure(results, row, system) do
    with [_ | _] = values <- values(results, row, system), do: of(values)
  end

  @doc """
  One system's figure over another's. Compared round by round, as the two of a round had the same
  machine.
  """
  def ratio(results, row, system, other) do
    with [_ | _] = values <- values(results, row, system),
         [_ | _] = others <- values(results, row, other) do
      values |> Enum.zip_with(others, &(&1 / &2)) |> of()
    end
  end

  def of(values) do
    sorted = Enum.sort(values)
    %{median: median(sorted), min: hd(sorted), max: List.last(sorted)}
  end

  defp values(results, row, system) do
    with [_ | _] = rounds <- results[row.question][system] do
      Enum.map(rounds, & &1[row.figure])
    end
  end

  defp median(sorted) do
    count = length(sorted)
    middle = Enum.slice(sorted, div(count - 1, 2)..div(count, 2))
    Enum.sum(middle) / length(middle)
  end
end
