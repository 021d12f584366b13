defmodule Bench.Questions.Calls do
  @moduledoc false
  # Small calls: one after the other, and many at once.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Asks, Context, Facade, Pipe, Pools, Python, Question}

  @spec all(Context.t()) :: [Question.t()]
  def all(context), do: [one_caller(context), many_callers(context)]

  defp one_caller(context) do
    ask = Asks.fetch(:call)
    count = Asks.fast(ask, context)

    %Question{
      key: :call,
      title: "How long does a call take?",
      note: "An argument of 100 bytes that comes back, one call after the other. Less is better.",
      figures: [figure("p50_us", "p50", "us"), figure("p99_us", "p99", "us")],
      ratio: {:first_over, "Snakepit over this"},
      rows:
        [
          Asks.snakepit(ask, context),
          row(:pipe, "floor: a pipe", fn -> Pipe.one_caller(ask, count) end),
          Asks.lane(ask, context, count),
          Asks.rust(ask, context, "bare Rust client, an RPC for each call")
        ] ++
          Asks.grpcio(ask, context) ++
          [row(:handler, "the handler alone, mean", fn -> Python.loop(:unary, ask, count) end)]
    }
  end

  defp many_callers(context) do
    ask = Asks.fetch(:callers)
    count = Asks.fast(ask, context)

    %Question{
      key: :callers,
      title: "How many calls a second do 16 callers get from one worker?",
      note: "The same call, by 16 processes, tasks or threads at once. More is better.",
      figures: [
        figure("per_s", "calls", "k/s"),
        figure("p50_us", "p50", "us"),
        figure("p99_us", "p99", "us")
      ],
      ratio: {:first_over, "Snakepit over this"},
      rows:
        [
          Asks.snakepit(ask, context),
          row(:pipe, "floor: one process that owns a pipe", fn ->
            Pipe.many_callers(ask, 2 * count, :frames)
          end),
          row(:pipe_blocks, "floor: the same, in blocks", fn ->
            Pipe.many_callers(ask, 2 * count, :blocks)
          end),
          Asks.lane(ask, context, 2 * count),
          Asks.rust(ask, context, "bare Rust client, an RPC for each call")
        ] ++
          Asks.grpcio(ask, context) ++
          [
            row(:handler, "the handler alone, one thread", fn ->
              Python.loop(:unary, ask, count)
            end),
            row(:queued, "Snakepit, 10 slots for the 16", fn -> queued(ask, div(count, 2)) end)
          ]
    }
  end

  # Six of the callers wait at any time for a slot of a pool with the default options.
  defp queued(ask, count) do
    Pools.with_pool([name: :queued, pool_size: 1], fn ->
      Facade.measure(:unary, ask, count, pool: :queued)
    end)
  end
end
