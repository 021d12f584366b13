defmodule Snakepit.Streams.LeakTest do
  # What is left behind by streams that were cancelled: nothing.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]

  alias Snakepit.GRPCWorker
  alias Snakepit.Test.StreamBeacon, as: Beacon

  @mib 1_048_576

  describe "fifty streams cancelled unread" do
    for command <- ["producer", "producer_async"] do
      @command command

      test "leave a worker that runs fifty more at full width (#{command})" do
        pool = start_pool(max_concurrent_streams: 50)
        [%{pid: worker}] = Snakepit.list_workers(pool)

        for _round <- 1..3 do
          streams = start_many(pool, @command, 50, window: 40)
          # Every window is full, and every producer waits for room.
          eventually(fn ->
            Process.info(self(), :message_queue_len) == {:message_queue_len, 2_000}
          end)

          Enum.each(streams, &Snakepit.cancel/1)
          assert_no_stray_messages()
          await_free(pool)
        end

        # All at once: each has its first chunk while all the others are open.
        streams = start_many(pool, @command, 50, window: 2)

        for %{ref: ref} <- streams do
          assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
        end

        assert %{busy_slots: 50} = Snakepit.get_stats(pool)

        assert {:ok, %{"healthy" => true, "active_requests" => active}} =
                 GRPCWorker.get_health(worker)

        assert active in 50..200
        Enum.each(streams, &Snakepit.cancel/1)
        await_free(pool)

        eventually(fn ->
          match?({:ok, %{"active_requests" => 0}}, GRPCWorker.get_health(worker))
        end)

        assert %{restarts: 0} = Snakepit.get_stats(pool)
      end
    end
  end

  test "what Python lends to the socket comes back when it was sent, and when it never will be" do
    pool = start_pool()

    uses = [
      fn -> assert {_chunks, :ok} = collect(:callback, "lends", %{n: 200}, pool: pool) end,
      fn -> assert {:ok, _lent} = Snakepit.execute("lend", %{}, pool: pool) end,
      fn ->
        halt = fn _chunk -> :halt end
        assert :ok = Snakepit.execute_stream("lends", %{n: 1_000}, halt, pool: pool)
      end
    ]

    for use <- uses do
      use.()
      assert Snakepit.execute("references", %{}, pool: pool) == {:ok, %{"more" => 0}}
    end
  end

  test "six streams cancelled at a full buffer leave a worker that streams" do
    # One more than it has threads, again and again.
    pool = start_pool(max_concurrent_streams: 5)

    for _round <- 1..6 do
      streams = start_many(pool, "producer", 5, max_buffer: 1)
      for %{ref: ref} <- streams, do: assert_receive({:snakepit, ^ref, {:chunk, _}}, 5_000)
      Enum.each(streams, &Snakepit.cancel/1)
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool, timeout: 5_000)
    end

    assert {chunks, :ok} = collect(:callback, "numbers", %{n: 10}, pool: pool)
    assert length(chunks) == 11
  end

  test "a thousand cancels at random moments leave nothing" do
    pool = start_pool(max_concurrent_streams: 20)
    beacon = Beacon.open()
    :rand.seed(:exsss, ExUnit.configuration()[:seed])

    leave_many(pool, beacon, 300)
    before = held(pool)
    leave_many(pool, beacon, 1_000)
    now = held(pool)

    assert_no_stray_messages()
    assert now["os_pid"] == before["os_pid"]
    assert now["descriptors"] <= before["descriptors"]
    assert now["own_descriptors"] <= before["own_descriptors"]
    assert now["tasks"] == 0
    assert now["rss"] - before["rss"] < 16 * @mib
    assert now["memory"] - before["memory"] < 16 * @mib
    assert now["processes"] <= before["processes"]
    assert now["begun"] - before["begun"] > 500
    # An exception may come before a handler could note its end, but then it has ended too.
    assert now["begun"] - now["ended"] <= 5
    assert %{restarts: 0, busy_slots: 0, queued: 0} = Snakepit.get_stats(pool)
  end

  test "thousands of cancels do not wear the connection out" do
    pool = start_pool(max_concurrent_streams: 50)
    os_pid = os_pid(pool)
    # A call that is there all the time would be lost with the connection.
    {:ok, %{ref: ref} = witness} =
      Snakepit.start_stream("awaits", %{beacon: Beacon.open().port}, pool: pool)

    results =
      1..5_000
      |> Task.async_stream(
        fn _n -> "numbers" |> Snakepit.stream!(%{n: 100_000}, pool: pool) |> Enum.take(1) end,
        max_concurrency: 40,
        ordered: false
      )
      |> Enum.frequencies()

    assert results == %{{:ok, [%{"n" => 0, "is_final" => false}]} => 5_000}
    refute_received {:snakepit, ^ref, {:error, _reason}}
    Snakepit.cancel(witness)
    assert os_pid(pool) == os_pid
    assert %{errors: 0, restarts: 0} = Snakepit.get_stats(pool)
  end

  defp start_many(pool, command, count, opts) do
    for n <- 1..count do
      args = %{key: "unread #{n}", size: 100}
      {:ok, stream} = Snakepit.start_stream(command, args, [pool: pool] ++ opts)
      stream
    end
  end

  # -- a thousand ways to leave

  defp leave_many(pool, beacon, count) do
    seeds = for _ <- 1..count, do: :rand.uniform(1_000_000)

    seeds
    |> Task.async_stream(&leave(&1, pool, beacon.port), max_concurrency: 16, timeout: 60_000)
    |> Stream.run()

    await_free(pool)

    # The last handlers may still be at it, and the threads beyond the capacity.
    [%{pid: worker}] = Snakepit.list_workers(pool)

    eventually(fn ->
      {:ok, %{"active_requests" => active}} = GRPCWorker.get_health(worker)
      active == 0 and process(pool)["handler_threads"] <= 20
    end)

    drain(beacon)
  end

  defp leave(seed, pool, port) do
    :rand.seed(:exsss, seed)
    command = Enum.random(~w(yields yields yields_async awaits naps swallows swallows_async))
    way = Enum.random(~w(halt raise cancel killed timeout unread)a)
    args = %{beacon: port}
    opts = [pool: pool, window: Enum.random([1, 2, 16, 256])]
    after_chunks = if command =~ "yields", do: :rand.uniform(40), else: 1
    seen = :counters.new(1, [])

    run = fn callback, opts ->
      if command =~ "swallows" do
        input = Stream.repeatedly(fn -> %{n: 1} end)
        Snakepit.execute_bidi_stream(command, args, input, callback, opts)
      else
        Snakepit.execute_stream(command, args, callback, opts)
      end
    end

    callback = fn _chunk ->
      :counters.add(seen, 1, 1)

      if :counters.get(seen, 1) >= after_chunks,
        do: if(way == :raise, do: throw(:out), else: :halt)
    end

    case way do
      :halt ->
        :ok = run.(callback, opts)

      :raise ->
        catch_throw(run.(callback, opts))

      :timeout ->
        {:error, :worker_timeout} =
          run.(fn _chunk -> :ok end, [timeout: :rand.uniform(30)] ++ opts)

      :killed ->
        pid = spawn(fn -> run.(fn _chunk -> :ok end, opts) end)

        receive do
        after
          :rand.uniform(30) -> kill(pid)
        end

      server when command in ["swallows", "swallows_async"] ->
        :ok = run.(fn _chunk -> :halt end, opts)
        server

      _cancel_or_unread ->
        {:ok, %{ref: ref} = stream} = Snakepit.start_stream(command, args, opts)
        if way == :cancel, do: assert_receive({:snakepit, ^ref, {:chunk, _}}, 10_000)
        :ok = Snakepit.cancel(stream)
    end
  end

  defp drain(beacon) do
    if Beacon.next(beacon, 0), do: drain(beacon)
  end

  defp held(pool) do
    {:ok, %{"tasks" => tasks}} = Snakepit.execute("tasks", %{}, pool: pool)
    {:ok, descriptors} = File.ls("/proc/self/fd")
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)

    Map.merge(process(pool), %{
      "tasks" => tasks,
      "own_descriptors" => length(descriptors),
      "memory" => :erlang.memory(:total),
      "processes" => length(Process.list())
    })
  end
end
