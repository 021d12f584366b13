defmodule Snakepit.Streams.TimingTest do
  # A chunk is delivered when it is made.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper

  alias Snakepit.Test.StreamBeacon, as: Beacon

  setup_all do
    %{pool: start_pool()}
  end

  # Milliseconds that every chunk was on its way, and when it came.
  defp deliveries(shape, command, args, opts) do
    times = :ets.new(:times, [:ordered_set])

    note = fn chunk ->
      now = Beacon.now()
      if chunk["at"], do: :ets.insert(times, {chunk["n"], now, (now - chunk["at"]) / 1_000_000})
      :cont
    end

    {_chunks, :ok} = consume(shape, command, args, opts, note)
    :ets.tab2list(times)
  end

  test "chunks 750 ms apart arrive 750 ms apart", %{pool: pool} do
    tasks =
      for shape <- shapes(), command <- ["paced", "paced_async"] do
        Task.async(fn -> deliveries(shape, command, %{n: 4, interval: 750}, pool: pool) end)
      end

    for deliveries <- Task.await_many(tasks, 20_000) do
      assert length(deliveries) == 4
      # None was kept back for the next one.
      for {_n, _at, on_its_way} <- deliveries, do: assert(on_its_way < 375)

      gaps =
        deliveries
        |> Enum.chunk_every(2, 1, :discard)
        |> Enum.map(fn [{_, a, _}, {_, b, _}] -> (b - a) / 1_000_000 end)

      for gap <- gaps, do: assert(gap > 550 and gap < 950)
    end
  end

  for shape <- shapes() do
    @shape shape

    test "the first chunk does not wait for a second (#{shape})", %{pool: pool} do
      beacon = Beacon.open()
      test = self()

      consumer =
        Task.async(fn ->
          note = fn chunk -> send(test, {:chunk, chunk["n"]}) && :cont end
          consume(@shape, "holds", %{beacon: beacon.port}, [pool: pool], note)
        end)

      # The handler goes on when the test says so, and the test does when it has the chunk.
      assert_receive {:chunk, 0}, 5_000
      holds = Beacon.await(beacon, "holds")
      refute_received {:chunk, _}
      Beacon.release(beacon, holds)
      assert_receive {:chunk, 1}, 5_000
      assert_receive {:chunk, nil}, 5_000
      assert {_chunks, :ok} = Task.await(consumer)
    end
  end

  for command <- ["paced", "paced_async"] do
    @command command

    test "a thousand chunks a second are on their way for less than 5 ms (#{command})",
         %{pool: pool} do
      args = %{n: 2_000, interval: 1}

      on_their_way =
        for {_n, _at, ms} <- deliveries(:callback, @command, args, pool: pool), do: ms

      assert length(on_their_way) == 2_000
      assert median(on_their_way) < 5

      # Other work on the machine comes in bursts: 99 of 100 in the quietest tenth of a second.
      quietest =
        on_their_way |> Enum.chunk_every(100) |> Enum.map(&percentile(&1, 0.98)) |> Enum.min()

      assert quietest < 5
    end
  end
end
