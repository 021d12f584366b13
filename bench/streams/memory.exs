# How far the memory of the VM and of the worker grows while a consumer that sleeps now and then
# takes very long streams. The growth is the highest resident memory of the whole process above
# what it had before its first stream.
#
#     MIX_ENV=test mix run bench/streams/memory.exs

Code.require_file("support.exs", __DIR__)

alias Bench.Streams
import Snakepit.Test.StreamMemory, only: [grown: 2]

Streams.with_pool(fn pool ->
  measure = fn label, command, args, {every, sleep}, opts ->
    counter = :counters.new(1, [])

    callback = fn _chunk ->
      :counters.add(counter, 1, 1)
      if rem(:counters.get(counter, 1), every) == 0, do: Streams.pause(sleep)
    end

    opts = [pool: pool, timeout: :infinity] ++ opts

    {micros, {:ok, growth}} =
      :timer.tc(fn ->
        grown(pool, fn -> Snakepit.execute_stream(command, args, callback, opts) end)
      end)

    Streams.row(label,
      vm: Streams.mib(growth.vm),
      worker: Streams.mib(growth.worker),
      chunks: :counters.get(counter, 1) - 1,
      in: Streams.ms(micros / 1_000)
    )
  end

  million = 1_000_000
  mb = %{n: 10_000, size: million}

  measure.(
    "1,000,000 small chunks, asleep every 10,000",
    "numbers",
    %{n: million},
    {10_000, 20},
    []
  )

  measure.("the same of an async generator", "numbers_async", %{n: million}, {10_000, 20}, [])
  measure.("10 GB in chunks of 1 MB, asleep every 10", "fresh_blocks", mb, {10, 10}, [])

  measure.("the same with a buffer of 2 MB", "fresh_blocks", mb, {10, 10},
    max_buffer: 2 * million
  )

  measure.(
    "10,000,000 small chunks, never asleep",
    "numbers",
    %{n: 10 * million},
    {10 * million, 0},
    []
  )
end)
