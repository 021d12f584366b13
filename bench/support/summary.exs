defmodule Bench.Summary do
  @moduledoc false
  # The middle of the rounds and how far they reach.

  alias Bench.{Question, Rounds}

  @type t :: %{median: float(), min: float(), max: float(), rounds: [number()]}

  @doc """
  One figure of one row, or `nil` if it has none.
  """
  @spec figure(Rounds.results(), atom(), atom(), String.t()) :: t() | nil
  def figure(results, question, row, figure) do
    case values(results, question, row, figure) do
      [] -> nil
      values -> of(values)
    end
  end

  @doc """
  A figure of one row over that of another. Compared round by round, as the two of a round had the
  same machine.
  """
  @spec ratio(Rounds.results(), atom(), String.t(), atom(), atom()) :: t() | nil
  def ratio(results, question, figure, row, other) do
    values = values(results, question, row, figure)
    others = values(results, question, other, figure)

    case Enum.zip_with(values, others, &(&1 / &2)) do
      [] -> nil
      ratios -> of(ratios)
    end
  end

  @doc """
  The ratio that a question shows in a row.
  """
  @spec shown_ratio(Rounds.results(), Question.t(), Question.row()) :: t() | nil
  def shown_ratio(_results, %Question{ratio: nil}, _row), do: nil
  def shown_ratio(_results, %Question{rows: [%{key: key} | _]}, %{key: key}), do: nil

  def shown_ratio(results, %Question{key: key, figures: [figure | _]} = question, row) do
    [first | _] = question.rows

    case question.ratio do
      {:first_over, _title} -> ratio(results, key, figure.key, first.key, row.key)
      {:over_first, _title} -> ratio(results, key, figure.key, row.key, first.key)
    end
  end

  @spec of([number(), ...]) :: t()
  def of(values) do
    sorted = Enum.sort(values)
    %{median: median(sorted), min: hd(sorted), max: List.last(sorted), rounds: values}
  end

  defp values(results, question, row, figure) do
    for %{^figure => value} <- get_in(results, [question, row]) || [], do: value
  end

  defp median(sorted) do
    count = length(sorted)
    middle = Enum.slice(sorted, div(count - 1, 2)..div(count, 2))
    Enum.sum(middle) / length(middle)
  end
end
