defmodule Bench.Questions do
  @moduledoc false
  # What every system is asked. `mode` is what its client is told to do; `fast` and `slow` are the
  # calls or chunks of one measurement, about a third of a second for Rust and for grpcio.

  @questions [
    %{key: :unary, mode: :unary, size: 100, callers: 1, fast: 9_600, slow: 1_600},
    %{key: :callers, mode: :unary, size: 100, callers: 16, fast: 48_000, slow: 3_200},
    %{key: :stream_10b, mode: :stream, size: 10, callers: 1, fast: 250_000, slow: 10_000},
    %{key: :stream_1kb, mode: :stream, size: 1_000, callers: 1, fast: 200_000, slow: 10_000},
    %{key: :stream_100kb, mode: :stream, size: 100_000, callers: 1, fast: 6_000, slow: 3_000},
    %{key: :stream_1mb, mode: :stream, size: 1_000_000, callers: 1, fast: 800, slow: 300},
    %{key: :first, mode: :first, size: 10, callers: 1, fast: 2_500, slow: 500}
  ]

  @rows [
    %{title: "call of 100 B, p50", question: :unary, figure: "p50_us", unit: "us"},
    %{title: "call of 100 B, p99", question: :unary, figure: "p99_us", unit: "us"},
    %{title: "calls, 16 callers", question: :callers, figure: "per_s", unit: "k/s"},
    %{title: "chunks of 10 B", question: :stream_10b, figure: "per_s", unit: "k/s"},
    %{title: "chunks of 1 KB", question: :stream_1kb, figure: "per_s", unit: "k/s"},
    %{title: "chunks of 100 KB", question: :stream_100kb, figure: "mb_per_s", unit: "MB/s"},
    %{title: "chunks of 1 MB", question: :stream_1mb, figure: "mb_per_s", unit: "MB/s"},
    %{title: "first chunk, p50", question: :first, figure: "p50_us", unit: "us"}
  ]

  @doc """
  The questions, each with `share` of its work.
  """
  def all(share) do
    for question <- @questions do
      %{question | fast: round(question.fast * share), slow: round(question.slow * share)}
    end
  end

  @doc """
  The figures that are shown.
  """
  def rows, do: @rows

  @doc """
  The figure that says how well a question was answered: larger is better.
  """
  def score(%{mode: :stream}, figures), do: figures["per_s"]
  def score(%{key: :callers}, figures), do: figures["per_s"]
  def score(_latency, figures), do: 1 / figures["p50_us"]
end
