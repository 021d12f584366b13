defmodule Snakepit.Streams.BackpressureTest do
  # Python is never further ahead of the consumer than the window, and stands still while the
  # consumer does; what is in between is bounded in bytes too.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper
  import Snakepit.Test.StreamMemory

  alias Snakepit.GRPCWorker

  @mib 1_048_576

  setup_all do
    %{pool: start_pool()}
  end

  setup %{pool: pool} do
    on_exit(fn -> await_free(pool) end)
    %{key: "producer #{System.unique_integer([:positive])}"}
  end

  defp made(pool, key) do
    {:ok, %{"made" => made}} = Snakepit.execute("made_by", %{key: key}, pool: pool)
    made
  end

  # The producer comes to `count` and no further, however often the worker is asked for something.
  defp stands_still_at(pool, key, count) do
    eventually(fn -> made(pool, key) >= count end)
    [%{pid: worker}] = Snakepit.list_workers(pool)

    for _turn <- 1..20 do
      {:ok, _health} = GRPCWorker.get_health(worker)
      assert made(pool, key) == count
    end
  end

  for suffix <- ["", "_async"] do
    command = "producer" <> suffix
    @command command

    test "#{command}: the window is exact while a callback runs", %{pool: pool, key: key} do
      for {window, run} <- Enum.with_index([1, 2, 3, 10, 64]) do
        key = "#{key} #{run}"

        callback = fn %{"n" => n} ->
          # One window is on its way, and the next chunk waits at the generator's yield.
          if n == 0, do: stands_still_at(pool, key, window + 1)
          assert made(pool, key) - (n + 1) <= window
          if n == 3 * window, do: :halt
        end

        opts = [pool: pool, window: window]
        assert :ok = Snakepit.execute_stream(@command, %{key: key}, callback, opts)
      end
    end

    test "#{command}: the window is exact while an enumerable is consumed",
         %{pool: pool, key: key} do
      for {window, run} <- Enum.with_index([1, 2, 3, 10, 64]) do
        key = "#{key} #{run}"

        @command
        |> Snakepit.stream!(%{key: key}, pool: pool, window: window)
        |> Stream.each(fn %{"n" => n} ->
          if n == 0, do: stands_still_at(pool, key, window + 1)
          assert made(pool, key) - (n + 1) <= window
        end)
        |> Enum.take(3 * window)
      end
    end

    test "#{command}: every acknowledgement lets one more chunk come", %{pool: pool, key: key} do
      opts = [pool: pool, window: 5]
      {:ok, %{ref: ref} = stream} = Snakepit.start_stream(@command, %{key: key}, opts)
      for n <- 0..4, do: assert_receive({:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000)
      stands_still_at(pool, key, 6)
      refute_received {:snakepit, ^ref, _sixth}

      for n <- 5..30 do
        Snakepit.ack(stream)
        assert_receive {:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000
        assert made(pool, key) <= n + 2
        refute_received {:snakepit, ^ref, _another}
      end

      # Many at once are as good, and more than there are count as all.
      Snakepit.ack(stream, 5)
      for n <- 31..35, do: assert_receive({:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000)
      stands_still_at(pool, key, 37)
      Snakepit.ack(stream, 1_000)
      for n <- 36..40, do: assert_receive({:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000)
      stands_still_at(pool, key, 42)
      refute_received {:snakepit, ^ref, _another}
      Snakepit.cancel(stream)
    end

    test "#{command}: the buffer is exact but for one chunk", %{pool: pool, key: key} do
      # Ten chunks of a thousand bytes and a few, of which the tenth exceeds the buffer.
      args = %{key: key, size: 1_000}
      opts = [pool: pool, max_buffer: 10_000]
      {:ok, %{ref: ref} = stream} = Snakepit.start_stream(@command, args, opts)
      for n <- 0..9, do: assert_receive({:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000)
      stands_still_at(pool, key, 11)
      refute_received {:snakepit, ^ref, _eleventh}
      Snakepit.ack(stream)
      assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 10}}}, 5_000
      stands_still_at(pool, key, 12)
      Snakepit.cancel(stream)
    end

    test "#{command}: a chunk larger than the buffer passes, alone", %{pool: pool, key: key} do
      args = %{key: key, size: 100_000}

      callback = fn %{"n" => n, "data" => data} ->
        assert byte_size(data) == 100_000
        if n < 3, do: stands_still_at(pool, key, n + 2)
        if n == 5, do: :halt
      end

      opts = [pool: pool, max_buffer: 1_000]
      assert :ok = Snakepit.execute_stream(@command, args, callback, opts)
    end
  end

  test "a consumer that sleeps keeps the memory of both processes flat: small chunks",
       %{pool: pool} do
    for command <- ["numbers", "numbers_async"] do
      seen = :counters.new(1, [])

      slow = fn _chunk ->
        :counters.add(seen, 1, 1)
        if rem(:counters.get(seen, 1), 5_000) == 0, do: pause(5)
      end

      run = &Snakepit.execute_stream(command, %{n: &1}, slow, pool: pool)
      :ok = run.(1_000)
      {:ok, growth} = grown(pool, fn -> run.(100_000) end)
      assert growth.vm < 16 * @mib
      assert growth.worker < 16 * @mib
      assert :counters.get(seen, 1) == 101_002
    end
  end

  test "a consumer that sleeps keeps the memory of both processes flat: large chunks",
       %{pool: pool} do
    run = fn n ->
      Snakepit.execute_stream(
        "fresh_blocks",
        %{n: n, size: 1_000_000},
        fn chunk ->
          if chunk["data"], do: assert(byte_size(chunk["data"]) == 1_000_000)
          pause(1)
        end,
        pool: pool
      )
    end

    :ok = run.(20)
    {:ok, growth} = grown(pool, fn -> run.(600) end)
    assert growth.vm < 16 * @mib
    assert growth.worker < 16 * @mib
  end

  test "a consumer in no hurry at all keeps the producer where it is", %{pool: pool, key: key} do
    {:ok, growth} =
      grown(pool, fn ->
        args = %{key: key, size: 1_000_000}
        {:ok, %{ref: ref} = stream} = Snakepit.start_stream("producer", args, pool: pool)
        # Four MiB of a megabyte and a little each: five, and one at the yield.
        stands_still_at(pool, key, 6)
        for n <- 0..4, do: assert_receive({:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000)
        refute_received {:snakepit, ^ref, _another}
        Snakepit.cancel(stream)
      end)

    assert growth.vm < 16 * @mib
    assert growth.worker < 16 * @mib
  end

  # What the consumer does with its time is not for Snakepit to know.
  defp pause(ms) do
    receive do
    after
      ms -> :ok
    end
  end
end
