defmodule Bench.Questions.ManyStreams do
  @moduledoc false
  # A thousand streams of one worker at once, against one.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Clock, Context, Pools, Question}

  @streams 1_000
  @endless 1_000_000_000

  @spec all(Context.t()) :: [Question.t()]
  def all(%Context{settings: settings}) do
    many = min(@streams, max(round(@streams * settings.share * 4), 10))
    seconds = min(settings.seconds, 1.0)

    [
      %Question{
        key: :many_streams,
        title: "What do 1,000 streams at once get from one worker?",
        note: "All chunks a second, each a small map, while every stream runs. More is better.",
        figures: [
          figure("per_s", "all chunks", "k/s"),
          figure("least", "slowest stream over the mean", "")
        ],
        ratio: {:over_first, "this over one stream"},
        rows: [
          row(:one, "one stream", fn -> measure(1, seconds) end),
          row(:many, "1,000 streams", fn -> measure(many, seconds) end)
        ]
      }
    ]
  end

  # The clock starts when every stream has had its first chunk, and no stream ends before it stops.
  defp measure(streams, seconds) do
    options = [name: :streams, pool_size: 1, max_concurrent_streams: @streams]

    Pools.with_pool(options, fn ->
      counts = :counters.new(streams, [])
      over = :atomics.new(1, [])
      tasks = for index <- 1..streams, do: start(counts, index, over)
      for _ <- 1..streams, do: receive(do: (:first_chunk -> :ok))

      # It must be on time however many processes are busy.
      Process.flag(:priority, :high)
      before = read(counts, streams)
      elapsed = Clock.duration(fn -> pause(seconds) end)
      chunks = Enum.zip_with(read(counts, streams), before, &(&1 - &2))

      :atomics.put(over, 1, 1)
      Task.await_many(tasks, :infinity)
      total = Enum.sum(chunks)
      %{"per_s" => total * 1.0e9 / elapsed, "least" => Enum.min(chunks) * streams / max(total, 1)}
    end)
  end

  defp start(counts, index, over) do
    parent = self()

    callback = fn _chunk ->
      :counters.add(counts, index, 1)
      if :counters.get(counts, index) == 1, do: send(parent, :first_chunk)
      if :atomics.get(over, 1) == 1, do: :halt
    end

    options = [pool: :streams, timeout: :infinity]

    Task.async(fn ->
      :ok = Snakepit.execute_stream("bench_numbers", %{count: @endless}, callback, options)
    end)
  end

  defp read(counts, streams), do: Enum.map(1..streams, &:counters.get(counts, &1))

  defp pause(seconds) do
    receive do
    after
      round(seconds * 1000) -> :ok
    end
  end
end
