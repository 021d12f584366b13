defmodule Snakepit.Streams.InterleavingTest do
  # Many streams at once: none waits for another, and no call waits for a stream.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper

  alias Snakepit.GRPCWorker
  alias Snakepit.Test.StreamBeacon, as: Beacon

  describe "a thousand streams over two workers" do
    setup do
      %{pool: start_pool(pool_size: 2, max_concurrent_streams: 500)}
    end

    for command <- ["numbers", "numbers_async"] do
      @command command

      test "all come to their end (#{command})", %{pool: pool} do
        results =
          1..1_000
          |> Task.async_stream(
            fn n ->
              opts = [pool: pool, window: 4]
              {chunks, ending} = collect(:callback, @command, %{n: 20 + rem(n, 5)}, opts)
              {ending, Enum.map(chunks, & &1["n"]) == Enum.to_list(0..(19 + rem(n, 5))) ++ [nil]}
            end,
            max_concurrency: 1_000,
            timeout: 60_000,
            ordered: false
          )
          |> Enum.frequencies()

        assert results == %{{:ok, {:ok, true}} => 1_000}
        await_free(pool)
      end

      test "all go on at once, at much the same speed (#{command})", %{pool: pool} do
        seen = :counters.new(1_000, [])
        stop = :atomics.new(1, [])

        consumers =
          for n <- 1..1_000 do
            Task.async(fn ->
              count = fn _chunk ->
                :counters.add(seen, n, 1)
                if :atomics.get(stop, 1) == 1, do: :halt
              end

              Snakepit.execute_stream(@command, %{n: 10_000_000}, count, pool: pool, window: 4)
            end)
          end

        counts = fn -> for n <- 1..1_000, do: :counters.get(seen, n) end
        eventually(fn -> Enum.min(counts.()) >= 20 end, 60_000)
        assert %{busy_slots: 1_000} = Snakepit.get_stats(pool)
        # Nobody was served a hundred times as well as another.
        assert percentile(counts.(), 0.99) <= 100 * 20
        :atomics.put(stop, 1, 1)
        assert consumers |> Task.await_many(60_000) |> Enum.uniq() == [:ok]
        await_free(pool)
        assert_no_stray_messages()
      end
    end
  end

  describe "beside streams that never end" do
    setup do
      pool = start_pool(max_concurrent_streams: 8)
      beacon = Beacon.open()
      args = %{beacon: beacon.port}

      # At full speed, with large chunks, waiting for room, and without ever giving the GIL back.
      streams = [
        {"numbers", %{n: 100_000_000}, []},
        {"numbers_async", %{n: 100_000_000}, []},
        {"fresh_blocks", %{n: 10_000_000, size: 1_000_000}, [window: 4]},
        {"busy", args, []}
      ]

      test = self()

      consumers =
        for {command, args, opts} <- streams do
          spawn_link(fn ->
            tell = fn chunk -> if chunk["n"] == 0, do: send(test, :open) end
            Snakepit.execute_stream(command, args, tell, [pool: pool] ++ opts)
          end)
        end

      {:ok, unread} = Snakepit.start_stream("producer", %{key: "unread"}, pool: pool, window: 1)
      for _ <- streams, do: assert_receive(:open, 10_000)
      %{pool: pool, consumers: consumers, unread: unread}
    end

    defp timed(count, fun) do
      for _ <- 1..count do
        {micros, result} = :timer.tc(fun)
        assert {:ok, _} = result
        micros / 1_000
      end
    end

    test "health, info and calls are answered as ever", %{pool: pool, unread: unread} do
      [%{pid: worker}] = Snakepit.list_workers(pool)

      # Without a word of Python.
      assert median(timed(50, fn -> GRPCWorker.get_health(worker) end)) <= 20
      assert median(timed(50, fn -> GRPCWorker.get_info(worker) end)) <= 5
      # With its turn among four handlers, of which each keeps Python for five milliseconds.
      assert median(timed(30, fn -> Snakepit.execute("ping", %{}, pool: pool) end)) <= 100
      in_session = fn -> Snakepit.execute_in_session("s", "ping", %{}, pool: pool) end
      assert median(timed(10, in_session)) <= 100
      stream = fn -> {:ok, collect(:callback, "numbers", %{n: 3}, pool: pool)} end
      assert median(timed(10, stream)) <= 250

      assert %{busy_slots: 5, restarts: 0} = Snakepit.get_stats(pool)
      Snakepit.cancel(unread)
    end
  end
end
