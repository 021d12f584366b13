# Measures jobs: how late a watch is, how far a thousand watchers are apart, how fast batches and pages
# go. `mix run bench/jobs.exs`; the figures of guides/jobs.md come from here.

Logger.configure(level: :warning)

defmodule Bench.Jobs do
  alias Snakepit.Jobs

  @rows 95_338

  def run do
    lateness()
    watchers()
    batch()
    paging()
  end

  # From the moment at which Python is done until the watcher knows.
  defp lateness do
    late =
      for _ <- 1..100 do
        {:ok, id} = Jobs.submit("bench_nap", %{ms: 50})
        true = id |> Jobs.watch(:stream) |> Enum.at(-1) |> Map.fetch!("is_final")
        seen = System.os_time(:microsecond)
        {:ok, %{"ended" => ended}} = Jobs.result(id)
        seen - ended
      end

    late = Enum.sort(late)
    print("terminal update late by", "#{ms(Enum.at(late, 49))}, p99 #{ms(Enum.at(late, 98))}")
  end

  defp watchers do
    spreads = for _ <- 1..5, do: spread(1_000)
    print("1,000 watchers, first to last", "#{ms(Enum.at(Enum.sort(spreads), 2))}")
  end

  defp spread(count) do
    {:ok, id} = Jobs.submit("bench_nap", %{ms: 1_500})
    parent = self()

    for _ <- 1..count do
      spawn_link(fn ->
        :ok = Jobs.watch(id, fn _update -> :ok end)
        send(parent, {:seen, System.os_time(:microsecond)})
      end)
    end

    times = for _ <- 1..count, do: receive(do: ({:seen, time} -> time))
    Enum.max(times) - Enum.min(times)
  end

  defp batch do
    items = Stream.map(1..20_000, &%{command: "bench_echo", args: %{data: Integer.to_string(&1)}})
    run = fn -> :ok = Jobs.submit_batch(items, fn _result -> :ok end) end
    run.()
    {micros, :ok} = :timer.tc(run)
    print("batch of 20,000 echoes", "#{round(20_000 / micros * 1_000_000)} items/s")
  end

  defp paging do
    {:ok, id} = Jobs.submit("bench_table", %{n: @rows})
    {:ok, _rows} = Jobs.result(id)

    for size <- [1, 100, 1_000, 10_000, 4_294_967_295] do
      stream = Jobs.stream_results(id, :stream, chunk_size: size)
      first = median(fn -> [_chunk] = Enum.take(stream, 1) end)
      all = median(fn -> Enum.each(stream, fn _chunk -> :ok end) end)
      print("#{@rows} rows by #{size}", "#{ms(all)}, the first chunk #{ms(first)}")
    end
  end

  defp median(fun) do
    times = for _ <- 1..5, do: fun |> :timer.tc() |> elem(0)
    Enum.at(Enum.sort(times), 2)
  end

  defp ms(micros), do: "#{Float.round(micros / 1_000, 2)} ms"

  defp print(what, figure), do: IO.puts(String.pad_trailing(what, 34) <> figure)
end

{:ok, _pool} =
  Supervisor.start_link(
    [
      {Snakepit.Pool,
       pool_size: 2,
       max_concurrent_streams: 16,
       python: [path: ["bench"], modules: ["bench_handlers"]]}
    ],
    strategy: :one_for_one
  )

Bench.Jobs.run()
