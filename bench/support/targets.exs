defmodule Bench.Targets do
  @moduledoc false
  # What Snakepit is held to. Printed, never asserted: a busy machine is no mistake.
  #
  # A measured value is a figure of a row, or its ratio to the same figure of another row.

  alias Bench.{Context, Grpcio, Rounds, Summary}

  @type checked :: %{
          question: String.t(),
          bound: String.t(),
          limit: number(),
          of: String.t(),
          measured: Summary.t() | nil,
          ok: boolean() | nil
        }

  @ordinary "x grpcio, the ordinary pair"
  @fastest "x grpcio, its fastest pair"

  @targets [
    {"call of 100 B, p50", {:call, "p50_us", :snakepit, :grpcio}, :at_most, 0.25, @ordinary},
    {"call of 100 B, p50", {:call, "p50_us", :snakepit, :grpcio_fastest}, :at_most, 0.25,
     @fastest},
    {"call of 100 B, p50", {:call, "p50_us", :snakepit, :pipe}, :at_most, 1.6, "x a pipe"},
    {"calls/s, 16 callers", {:callers, "per_s", :snakepit, :grpcio}, :at_least, 15, @ordinary},
    {"calls/s, 16 callers", {:callers, "per_s", :snakepit, :grpcio_fastest}, :at_least, 15,
     @fastest},
    {"calls/s, 16 callers", {:callers, "per_s", :snakepit, :pipe}, :at_least, 0.4,
     "x the floor of a pipe"},
    {"chunks/s of 10 B", {:chunks_10b, "per_s", :snakepit, :grpcio}, :at_least, 15, @ordinary},
    {"chunks/s of 10 B", {:chunks_10b, "per_s", :snakepit, :grpcio_fastest}, :at_least, 15,
     @fastest},
    {"chunks/s of 10 B", {:chunks_10b, "per_s", :snakepit, :rust}, :at_least, 0.5,
     "x the bare Rust client"},
    {"chunks/s of 1 KB", {:chunks_1kb, "per_s", :snakepit, :grpcio}, :at_least, 15, @ordinary},
    {"chunks/s of 1 KB", {:chunks_1kb, "per_s", :snakepit, :grpcio_fastest}, :at_least, 15,
     @fastest},
    {"chunks/s of 1 KB", {:chunks_1kb, "per_s", :snakepit, :rust}, :at_least, 0.5,
     "x the bare Rust client"},
    {"MB/s in chunks of 1 MB", {:chunks_1mb, "mb_per_s", :snakepit, :grpcio}, :at_least, 2,
     @ordinary},
    {"MB/s in chunks of 1 MB", {:chunks_1mb, "mb_per_s", :snakepit, :grpcio_fastest}, :at_least,
     2, @fastest},
    {"MB/s in chunks of 1 MB", {:chunks_1mb, "mb_per_s", :snakepit, :socket}, :at_least, 0.5,
     "x a unix socket, blocks of 1 MB"},
    {"copies in the VM, chunks of 1 MB", {:copied, "copies", :snakepit}, :at_most, 0.05,
     "x the payload"},
    {"memory, argument of 100 MB", {:memory, "both", :argument}, :at_most, 2.2, "x the payload"},
    {"memory, result of 100 MB", {:memory, "both", :result}, :at_most, 2.2, "x the payload"},
    {"first chunk, p50", {:first, "p50_us", :snakepit}, :at_most, 400, "us"},
    {"first chunk, p99", {:first, "p99_us", :snakepit}, :at_most, 2_000, "us"},
    {"chunks/s of 1,000 streams", {:many_streams, "per_s", :many, :one}, :at_least, 0.8,
     "x one stream"},
    {"pool of 8 ready", {:start, "ms", :snakepit, :bare}, :at_most, 1.5,
     "x bare Pythons, same imports"},
    {"idle VM, processor", {:idle, "ticks", :vm}, :at_most, 0, "ticks"},
    {"idle worker, processor", {:idle, "ticks", :worker}, :at_most, 0, "ticks"},
    {"idle worker, resident", {:idle, "resident_mb", :worker}, :at_most, 25, "MB"},
    {"lease, 1 caller", {:lease, "ns", :callers_1}, :at_most, 2_000, "ns"},
    {"lease, 64 callers", {:lease, "ns", :callers_64, :callers_1}, :at_most, 1.2,
     "x that of 1 caller"}
  ]

  @doc """
  Each target with what was measured.
  """
  @spec check(Rounds.results(), Context.t()) :: [checked()]
  def check(results, context) do
    for {text, what, bound, limit, of} <- @targets do
      measured = what |> who(context) |> measured(results)

      %{
        question: text,
        bound: to_string(bound),
        limit: limit,
        of: of,
        measured: measured,
        ok: measured && within?(measured.median, bound, limit)
      }
    end
  end

  # The ordinary pair may itself be the fastest.
  defp who({question, figure, row, :grpcio_fastest} = what, %Context{grpcio: grpcio}) do
    if grpcio.fastest[question] == Grpcio.ordinary(),
      do: {question, figure, row, :grpcio},
      else: what
  end

  defp who(what, _context), do: what

  defp measured({question, figure, row}, results),
    do: Summary.figure(results, question, row, figure)

  defp measured({question, figure, row, other}, results),
    do: Summary.ratio(results, question, figure, row, other)

  defp within?(value, :at_most, limit), do: value <= limit
  defp within?(value, :at_least, limit), do: value >= limit
end
