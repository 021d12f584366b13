defmodule Snakepit.RecycleTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [eventually: 1]
  import Snakepit.Test.OS
  import Snakepit.Test.PoolHelper

  alias Snakepit.Session
  alias Snakepit.Test.{Beacon, LogTap}

  @moduletag :capture_log

  @python [modules: ["test_handlers", "session_handlers"]]

  defp recycled_pool(recycle, options \\ []),
    do: start_pool([python: @python, recycle: recycle] ++ options)

  defp os_pid!(pool) do
    {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("os_pid", %{}, pool: pool)
    os_pid
  end

  defp count(pool, id), do: Snakepit.execute_in_session(id, "count_session", %{}, pool: pool)

  # Makes calls until so many processes have answered; each call must succeed.
  defp call_until(pool, processes, seen \\ MapSet.new()) do
    if MapSet.size(seen) < processes,
      do: call_until(pool, processes, MapSet.put(seen, os_pid!(pool))),
      else: seen
  end

  # Looks at the pool all the time, until it is told to end.
  defp watch_size(pool, least \\ :none) do
    ready = Snakepit.get_stats(pool).ready

    receive do
      {:end, from} -> send(from, {:least, min(ready, least)})
    after
      0 -> watch_size(pool, min(ready, least))
    end
  end

  defp await_workers(pool, states) do
    eventually(fn ->
      found = pool |> Snakepit.list_workers() |> Enum.map(& &1.state) |> Enum.sort()
      found == Enum.sort(states)
    end)
  end

  test "after so many requests loses no call, and the pool never shrinks" do
    pool = recycled_pool([max_requests: 5], pool_size: 2)
    watcher = spawn_link(fn -> watch_size(pool) end)

    os_pids = for _call <- 1..55, do: os_pid!(pool)
    assert length(os_pids) == 55

    for os_pid <- call_until(pool, 6), os_pid not in present(pool), do: await_gone(os_pid)
    send(watcher, {:end, self()})
    assert_receive {:least, 2}
    assert %{workers: 2, errors: 0, restarts: 0} = Snakepit.get_stats(pool)
  end

  defp present(pool), do: for(%{os_pid: os_pid} <- Snakepit.list_workers(pool), do: os_pid)

  test "under load loses no call and no stream" do
    pool = recycled_pool([max_requests: 50], pool_size: 2, max_concurrent_streams: 4)

    1..8
    |> Task.async_stream(
      fn _caller ->
        for _turn <- 1..100 do
          assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
          assert :ok = Snakepit.execute_stream("count", %{n: 5}, fn _chunk -> :ok end, pool: pool)
        end
      end,
      timeout: 60_000
    )
    |> Enum.each(&assert match?({:ok, _results}, &1))

    assert %{errors: 0, timeouts: 0, queued: 0, busy_slots: 0} = Snakepit.get_stats(pool)
  end

  test "says so and why" do
    pool = recycled_pool(max_requests: 1, jitter: 0)
    LogTap.attach()
    [%{id: id}] = Snakepit.list_workers(pool)
    {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    text = "Worker #{id} has served as many requests as it may, and is replaced."
    assert_receive {:log, ^text, _metadata}, 5_000
  end

  test "lets a running call finish" do
    pool = recycled_pool(max_requests: 1)
    beacon = Beacon.open()
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
    handler = Beacon.await(beacon, "held")

    await_workers(pool, [:draining, :ready])
    assert os_pid!(pool) != os_pid
    assert alive?(os_pid)
    Beacon.release(beacon, handler, "done")
    assert Task.await(call) == {:ok, %{"word" => "done"}}
    await_gone(os_pid)
  end

  test "frees a worker whose caller was killed" do
    pool = recycled_pool(max_requests: 1)
    beacon = Beacon.open()
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    args = %{beacon: beacon.port}
    caller = in_process(fn -> Snakepit.execute("hold_async", args, pool: pool) end)
    Beacon.await(beacon, "held")
    await_workers(pool, [:draining, :ready])
    kill(caller)
    await_gone(os_pid)
  end

  test "by age" do
    pool = recycled_pool([max_age: 200], pool_size: 2)
    assert MapSet.size(call_until(pool, 5)) == 5
    assert %{errors: 0} = Snakepit.get_stats(pool)
  end

  test "by memory, that of the worker" do
    pool = recycled_pool([max_rss_mb: 150], health: [interval: 20])
    os_pid = os_pid!(pool)
    {:ok, _} = Snakepit.execute("grow", %{mib: 1}, pool: pool)
    for _health_check <- 1..3, do: {:ok, _} = Snakepit.execute("burn", %{ms: 30}, pool: pool)
    assert os_pid!(pool) == os_pid

    {:ok, _} = Snakepit.execute("grow", %{mib: 150}, pool: pool)
    await_gone(os_pid)
    assert os_pid!(pool) != os_pid
  end

  test "replaces one worker after the other" do
    pool = recycled_pool([max_requests: 1], pool_size: 3)
    for _call <- 1..3, do: {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    refute Enum.any?(1..50, fn _look -> starting(pool) > 1 end)
  end

  defp starting(pool), do: Enum.count(Snakepit.list_workers(pool), &(&1.state == :starting))

  test "goes on with the old worker while its successor cannot start" do
    breaking = Path.join(System.tmp_dir!(), "breaking-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm(breaking) end)
    modules = ["test_handlers", "breakable_module"]
    python = [modules: modules, env: %{"BREAKING_FILE" => breaking}]
    pool = start_pool(python: python, recycle: [max_requests: 3])
    LogTap.attach()
    old = os_pid!(pool)
    File.touch!(breaking)

    for _call <- 1..30, do: assert(os_pid!(pool) == old)
    await_log("broken for now")
    for _call <- 1..30, do: assert(os_pid!(pool) == old)
    assert %{ready: 1, errors: 0} = Snakepit.get_stats(pool)

    # Its next attempt succeeds.
    File.rm!(breaking)
    assert pool |> call_until(2) |> MapSet.size() == 2
    await_gone(old)
    assert %{errors: 0} = Snakepit.get_stats(pool)
  end

  defp await_log(text) do
    assert_receive {:log, logged, _metadata}, 10_000
    unless logged =~ text, do: await_log(text)
  end

  describe "a worker with sessions" do
    test "serves them, and only them, until the last has ended" do
      pool = recycled_pool(max_requests: 1)
      {:ok, %{"n" => 1, "os_pid" => os_pid}} = count(pool, "s")
      await_workers(pool, [:leaving, :ready])

      for n <- 2..5 do
        assert os_pid!(pool) != os_pid
        assert {:ok, %{"n" => ^n, "os_pid" => ^os_pid}} = count(pool, "s")
      end

      {:ok, %{"os_pid" => other}} = count(pool, "new")
      assert other != os_pid
      assert :ok = Session.delete("s", pool: pool)
      await_gone(os_pid)
      assert {:ok, %{"n" => 1}} = count(pool, "s")
    end

    test "is waited for until they expire" do
      pool = recycled_pool([max_requests: 1], session_ttl: 300)
      beacon = Beacon.open()
      args = %{value: 3, beacon: beacon.port}

      {:ok, %{"os_pid" => os_pid}} =
        Snakepit.execute_in_session("s", "remember", args, pool: pool)

      Beacon.await(beacon, "s ended with 3")
      await_gone(os_pid)
    end

    test "is not waited for longer, and the loss is told" do
      pool = recycled_pool([max_requests: 1], session_ttl: 300)
      beacon = Beacon.open()
      args = %{beacon: beacon.port}

      call =
        Task.async(fn ->
          Snakepit.execute_in_session("s", "hold_session", args, pool: pool)
        end)

      handler = Beacon.await(beacon, "held")
      await_workers(pool, [:draining, :ready])
      assert count(pool, "s") == {:error, :session_lost}
      Beacon.release(beacon, handler)
      assert {:ok, %{"word" => "go on"}} = Task.await(call)
      await_workers(pool, [:ready])
    end

    test "that dies meanwhile is not started again" do
      pool = recycled_pool(max_requests: 1)
      {:ok, %{"os_pid" => os_pid}} = count(pool, "s")
      await_workers(pool, [:leaving, :ready])
      signal(os_pid, "KILL")
      await_workers(pool, [:ready])
      assert count(pool, "s") == {:error, :session_lost}
    end

    test "is not waited for with :hint" do
      pool = recycled_pool([max_requests: 1], session_affinity: :hint)
      {:ok, %{"os_pid" => os_pid}} = count(pool, "s")
      await_gone(os_pid)
      assert {:ok, %{"n" => 1}} = count(pool, "s")
    end
  end

  test "a pool that stops while it recycles leaves no process" do
    pool = recycled_pool([max_requests: 1], pool_size: 2)
    {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    os_pids = pool |> present() |> Enum.filter(&is_integer/1)
    :ok = stop_supervised({Snakepit.Pool, pool})
    for os_pid <- os_pids, do: await_gone(os_pid)
  end

  test "goes on when its process was killed in the middle" do
    pool = recycled_pool(max_requests: 1)
    supervisor = Process.whereis(Module.concat(Snakepit.Pool, pool))

    {Snakepit.Pool.Recycler, recycler, :worker, _modules} =
      List.keyfind(Supervisor.which_children(supervisor), Snakepit.Pool.Recycler, 0)

    os_pid = os_pid!(pool)
    kill(recycler)
    assert MapSet.size(call_until(pool, 3)) == 3
    await_gone(os_pid)
    await_ready_only(pool)
  end

  defp await_ready_only(pool),
    do: eventually(fn -> Enum.any?(Snakepit.list_workers(pool), &(&1.state == :ready)) end)
end
