defmodule Snakepit.SessionTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await
  import Snakepit.Test.OS
  import Snakepit.Test.PoolHelper

  alias Snakepit.{GRPCWorker, Session}
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  @python [modules: ["test_handlers", "session_handlers"]]

  defp session_pool(options \\ []), do: start_pool([python: @python] ++ options)

  defp count(pool, id, opts \\ []),
    do: Snakepit.execute_in_session(id, "count_session", %{}, [pool: pool] ++ opts)

  defp os_pid!(pool, id) do
    {:ok, %{"os_pid" => os_pid}} = count(pool, id)
    os_pid
  end

  defp kill_worker(pool, os_pid) do
    signal(os_pid, "KILL")
    await_gone(os_pid)
    await_noticed(pool, os_pid)
  end

  defp await_noticed(pool, os_pid),
    do: eventually(fn -> Enum.all?(Snakepit.list_workers(pool), &(&1.os_pid != os_pid)) end)

  # A session whose worker has one slot, which is taken until the beacon releases it.
  defp busy_session(affinity, options \\ []) do
    options = [pool_size: 2, max_concurrent_streams: 1, session_affinity: affinity] ++ options
    pool = session_pool(options)
    os_pid = os_pid!(pool, "busy")
    beacon = Beacon.open()

    call =
      Task.async(fn ->
        args = %{beacon: beacon.port}
        Snakepit.execute_in_session("busy", "hold_session", args, pool: pool)
      end)

    handler = Beacon.await(beacon, "held")
    %{pool: pool, os_pid: os_pid, call: call, release: fn -> Beacon.release(beacon, handler) end}
  end

  describe "a session" do
    test "keeps its state on one worker, for calls and streams" do
      pool = session_pool(pool_size: 3)
      {:ok, %{"n" => 1, "os_pid" => os_pid}} = count(pool, "one")

      for n <- 2..10 do
        assert {:ok, %{"n" => ^n, "os_pid" => ^os_pid}} = count(pool, "one")
      end

      test = self()

      :ok =
        Snakepit.execute_in_session_stream(
          "one",
          "count_in_session",
          %{n: 2},
          &send(test, {:chunk, &1["n"], &1["session_id"]}),
          pool: pool
        )

      assert_received {:chunk, 11, "one"}
      assert_received {:chunk, 12, "one"}
      assert {:ok, %{"n" => 1}} = count(pool, "another")
    end

    test "is one of many, spread over the workers" do
      pool = session_pool(pool_size: 3)
      os_pids = for n <- 1..9, do: os_pid!(pool, "s#{n}")
      assert os_pids |> Enum.frequencies() |> Map.values() == [3, 3, 3]
      assert %{sessions: 9} = Snakepit.get_stats(pool)
    end

    test "can be created, found, listed and deleted" do
      pool = session_pool()
      assert {:ok, %Session{id: id} = session} = Session.create(pool: pool)
      assert session.worker_id == hd(Snakepit.list_workers(pool)).id
      assert {:ok, %Session{id: "named"}} = Session.create("named", pool: pool)
      assert {:ok, %Session{id: "named"} = named} = Session.get("named", pool: pool)
      assert DateTime.diff(named.last_used_at, named.created_at, :second) in 0..5
      ids = for session <- Session.list(pool: pool), do: session.id
      assert Enum.sort(ids) == Enum.sort([id, "named"])

      assert {:ok, %{"n" => 1}} = count(pool, "named")
      assert {:ok, %Session{id: "named"}} = Session.create("named", pool: pool)
      assert {:ok, %{"n" => 2}} = count(pool, "named")

      assert Session.delete("named", pool: pool) == :ok
      assert Session.delete("named", pool: pool) == {:error, :session_not_found}
      assert Session.get("named", pool: pool) == {:error, :session_not_found}
      assert {:ok, %{"n" => 1}} = count(pool, "named")
    end

    test "belongs to its pool" do
      one = session_pool()
      other = session_pool()
      {:ok, %{"n" => 1}} = count(one, "same")
      {:ok, %{"n" => 1}} = count(other, "same")
      assert Session.list(pool: :no_such_pool) == {:error, :pool_not_found}
      assert Session.create("a", pool: :no_such_pool) == {:error, :pool_not_found}
    end

    test "is not found on a worker where it does not live" do
      pool = session_pool(pool_size: 2)
      [%{pid: one}, %{pid: other}] = Snakepit.list_workers(pool)
      {:ok, %{"n" => 1}} = GRPCWorker.execute_in_session(other, "s", "count_session", %{})
      {:ok, %{"n" => 2}} = count(pool, "s")

      assert GRPCWorker.execute_in_session(one, "s", "count_session", %{}) ==
               {:error, :session_not_found}
    end

    test "needs an id" do
      assert_raise ArgumentError, ~r/:session_id expected a string that is not empty/, fn ->
        Snakepit.execute_in_session("", "ping")
      end
    end
  end

  describe "the end of a session" do
    test "is told to the functions registered for it" do
      pool = session_pool()
      beacon = Beacon.open()
      args = %{value: 7, beacon: beacon.port}
      {:ok, _} = Snakepit.execute_in_session("s", "remember", args, pool: pool)
      :ok = Session.delete("s", pool: pool)
      Beacon.await(beacon, "s ended with 7")
    end

    test "waits for the call that runs in it" do
      pool = session_pool()
      beacon = Beacon.open()
      args = %{value: 7, beacon: beacon.port}
      {:ok, _} = Snakepit.execute_in_session("s", "remember", args, pool: pool)
      args = %{beacon: beacon.port}

      call =
        Task.async(fn ->
          Snakepit.execute_in_session("s", "hold_session", args, pool: pool)
        end)

      handler = Beacon.await(beacon, "held")
      :ok = Session.delete("s", pool: pool)
      next = Task.async(fn -> count(pool, "s") end)
      {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
      assert Beacon.texts(beacon) == []

      Beacon.release(beacon, handler)
      assert {:ok, %{"value" => 7}} = Task.await(call)
      Beacon.await(beacon, "s ended with 7")
      # The session of the same id that was asked for meanwhile is another one.
      assert {:ok, %{"n" => 1}} = Task.await(next)
    end

    test "comes when it was not used for long, and not while it is used" do
      pool = session_pool(session_ttl: 200)
      beacon = Beacon.open()

      for id <- ["idle", "used"] do
        args = %{value: 1, beacon: beacon.port}
        {:ok, _} = Snakepit.execute_in_session(id, "remember", args, pool: pool)
      end

      call =
        Task.async(fn ->
          args = %{beacon: beacon.port}
          Snakepit.execute_in_session("used", "hold_session", args, pool: pool)
        end)

      handler = Beacon.await(beacon, "held")
      Beacon.await(beacon, "idle ended with 1")
      assert [%Session{id: "used"}] = Session.list(pool: pool)
      Beacon.release(beacon, handler)
      assert {:ok, %{"value" => 1}} = Task.await(call)
      Beacon.await(beacon, "used ended with 1")
      assert %{sessions: 0} = Snakepit.get_stats(pool)
    end

    test "comes too when the caller in it was killed" do
      pool = session_pool(session_ttl: 100, cancel_grace_ms: 60_000)
      beacon = Beacon.open()
      args = %{value: 1, beacon: beacon.port}
      {:ok, _} = Snakepit.execute_in_session("s", "remember", args, pool: pool)

      caller =
        in_process(fn ->
          args = %{beacon: beacon.port}
          Snakepit.execute_in_session("s", "hold_session", args, pool: pool)
        end)

      handler = Beacon.await(beacon, "held")
      kill(caller)
      Beacon.await(beacon, "s ended with 1")
      Beacon.release(beacon, handler)
    end

    test "comes with the end of the pool" do
      pool = session_pool()
      beacon = Beacon.open()
      args = %{value: 7, beacon: beacon.port}
      {:ok, _} = Snakepit.execute_in_session("s", "remember", args, pool: pool)
      :ok = stop_supervised({Snakepit.Pool, pool})
      Beacon.await(beacon, "s ended with 7")
    end
  end

  test "one session too many is refused until another ends" do
    pool = session_pool(max_sessions: 2)
    {:ok, _} = count(pool, "a")
    {:ok, _} = count(pool, "b")
    assert count(pool, "c") == {:error, :pool_saturated}
    assert Session.create("c", pool: pool) == {:error, :pool_saturated}
    assert {:ok, %{"n" => 2}} = count(pool, "a")
    :ok = Session.delete("b", pool: pool)
    assert {:ok, %{"n" => 1}} = count(pool, "c")
  end

  describe "the death of a worker" do
    test "is told once to each session that lived there, and no session is ever empty" do
      pool = session_pool(pool_size: 2)
      pids = for n <- 1..6, do: {"s#{n}", os_pid!(pool, "s#{n}")}
      {_id, victim} = hd(pids)
      kill_worker(pool, victim)
      {lost, kept} = Enum.split_with(pids, fn {_id, os_pid} -> os_pid == victim end)
      assert length(lost) == 3
      eventually(fn -> Snakepit.get_stats(pool).sessions == 3 end)

      for {id, _os_pid} <- kept, do: assert({:ok, %{"n" => 2}} = count(pool, id))

      for {id, _os_pid} <- lost do
        assert Session.get(id, pool: pool) == {:error, :session_lost}
        assert count(pool, id) == {:error, :session_lost}
        assert count(pool, id) == {:error, :session_not_found}
        assert Session.get(id, pool: pool) == {:error, :session_not_found}
        assert {:ok, %Session{}} = Session.create(id, pool: pool)
        assert {:ok, %{"n" => 1}} = count(pool, id)
      end
    end

    test "is told to one of many callers" do
      pool = session_pool()
      kill_worker(pool, os_pid!(pool, "s"))

      answers =
        1..20
        |> Task.async_stream(fn _n -> count(pool, "s") end, max_concurrency: 20)
        |> Enum.frequencies()

      assert answers == %{
               {:ok, {:error, :session_lost}} => 1,
               {:ok, {:error, :session_not_found}} => 19
             }
    end

    test "is told to a call that waits for the worker" do
      %{pool: pool, os_pid: os_pid, call: call} = busy_session(:strict_queue)
      waiting = Task.async(fn -> count(pool, "busy") end)
      await_queued(pool)
      signal(os_pid, "KILL")
      assert Task.await(call) == {:error, :worker_exited}
      assert Task.await(waiting) == {:error, :session_lost}
    end

    test "leaves the choice to begin anew at once" do
      pool = session_pool()
      kill_worker(pool, os_pid!(pool, "s"))
      assert {:ok, %Session{}} = Session.create("s", pool: pool)
      assert {:ok, %{"n" => 1}} = count(pool, "s")
    end

    test "is told also when all of the pool had to start again" do
      pool = session_pool()
      {:ok, %{"n" => 1}} = count(pool, "s")
      {:ok, shared} = Snakepit.Pool.Shared.fetch(pool)
      kill(shared.server)
      await_generation(pool, shared.generation)
      :ok = Snakepit.await_ready(pool)
      assert count(pool, "s") == {:error, :session_lost}
    end
  end

  describe "when the worker of a session is busy" do
    test ":strict_queue lets the call wait, and nobody else with it" do
      %{pool: pool, os_pid: os_pid, call: call, release: release} = busy_session(:strict_queue)
      waiting = Task.async(fn -> count(pool, "busy") end)
      await_queued(pool)

      for _call <- 1..10 do
        assert {:ok, %{"os_pid" => other}} = Snakepit.execute("os_pid", %{}, pool: pool)
        assert other != os_pid
      end

      release.()
      assert {:ok, _session} = Task.await(call)
      assert {:ok, %{"n" => 2, "os_pid" => ^os_pid}} = Task.await(waiting)
    end

    test ":strict_fail_fast says so at once" do
      %{pool: pool, os_pid: os_pid, call: call, release: release} =
        busy_session(:strict_fail_fast)

      assert count(pool, "busy") == {:error, :worker_busy}
      release.()
      assert {:ok, _session} = Task.await(call)
      assert {:ok, %{"n" => 2, "os_pid" => ^os_pid}} = count(pool, "busy")
      assert %{queued: 0} = Snakepit.get_stats(pool)
    end

    test ":hint goes elsewhere, and comes back" do
      %{pool: pool, os_pid: os_pid, call: call, release: release} = busy_session(:hint)
      assert {:ok, %{"n" => 1, "os_pid" => other}} = count(pool, "busy")
      assert other != os_pid
      release.()
      assert {:ok, _session} = Task.await(call)
      assert {:ok, %{"n" => 2, "os_pid" => ^os_pid}} = count(pool, "busy")

      kill_worker(pool, os_pid)
      assert {:ok, %{"n" => _cached, "os_pid" => elsewhere}} = count(pool, "busy")
      assert elsewhere != os_pid
    end
  end

  @tag timeout: 60_000
  test "ten thousand sessions cost little" do
    pool = session_pool(pool_size: 2)
    {:ok, %{sessions: sessions}} = Snakepit.Pool.Shared.fetch(pool)
    before = :ets.info(sessions.rows, :memory)

    # Work is counted and not time, as the machine may have much else to do.
    created = work(fn n -> {:ok, _} = Session.create("session-#{n}", pool: pool) end)
    called = work(fn n -> {:ok, %{"n" => 1}} = count(pool, "session-#{n}") end)
    plain = work(fn _n -> {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool) end)

    assert created < 5 * plain
    assert called < 5 * plain
    words = :ets.info(sessions.rows, :memory) - before
    assert words * :erlang.system_info(:wordsize) < 10_000 * 250

    assert %{sessions: 10_000} = Snakepit.get_stats(pool)
    for n <- 1..10_000, do: :ok = Session.delete("session-#{n}", pool: pool)
    assert %{sessions: 0} = Snakepit.get_stats(pool)
  end

  defp work(fun) do
    {:reductions, before} = Process.info(self(), :reductions)
    Enum.each(1..10_000, fun)
    {:reductions, now} = Process.info(self(), :reductions)
    now - before
  end
end
