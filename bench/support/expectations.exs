defmodule Bench.Expectations do
  @moduledoc false
  # What Snakepit promises about its speed. Printed, never asserted: a busy machine is no mistake.

  alias Bench.{Questions, Summary}

  @expectations [
    {"call, p50: at most 0.35 of grpcio's", {:unary, :grpcio}, :at_most, 0.35},
    {"16 callers: at least 8 times grpcio's calls/s", {:callers, :grpcio}, :at_least, 8},
    {"10 B: at least 10 times grpcio's chunks/s", {:stream_10b, :grpcio}, :at_least, 10},
    {"1 KB: at least 10 times grpcio's chunks/s", {:stream_1kb, :grpcio}, :at_least, 10},
    {"10 B: at least 0.35 of bare Rust's chunks/s", {:stream_10b, :bare}, :at_least, 0.35},
    {"1 KB: at least 0.35 of bare Rust's chunks/s", {:stream_1kb, :bare}, :at_least, 0.35},
    {"first chunk, p50: under 1,000 us", {:first, nil}, :at_most, 1_000},
    {"1 MB: no slower than grpcio", {:stream_1mb, :grpcio}, :at_least, 1}
  ]

  @doc """
  Each expectation with what was measured.
  """
  def check(results) do
    for {text, {question, other}, bound, limit} <- @expectations do
      row = Enum.find(Questions.rows(), &(&1.question == question))
      measured = measured(results, row, other)
      %{text: text, measured: measured, limit: limit, ok: within?(measured.median, bound, limit)}
    end
  end

  defp measured(results, row, nil), do: Summary.figure(results, row, :snakepit)
  defp measured(results, row, other), do: Summary.ratio(results, row, :snakepit, other)

  defp within?(value, :at_most, limit), do: value <= limit
  defp within?(value, :at_least, limit), do: value >= limit
end
