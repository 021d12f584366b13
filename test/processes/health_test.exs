defmodule Snakepit.HealthTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_queued: 2]
  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPCWorker
  alias Snakepit.Test.{Beacon, OsProcess}

  @moduletag :capture_log

  @health [interval: 50, timeout: 300, max_misses: 3]

  # Tells the test the outcome of every health check.
  defp tap_checks(%{pid: worker}) do
    test = self()

    tap = fn count, event, _state ->
      case event do
        {:in, {ref, {:ok, %{"healthy" => true}}}} when is_reference(ref) -> send(test, :answered)
        {:in, {ref, {:error, :worker_timeout}}} when is_reference(ref) -> send(test, :missed)
        _other -> :ok
      end

      count + 1
    end

    :ok = :sys.install(worker, {tap, 0})
  end

  defp await_checks(count, outcome) do
    for _ <- 1..count, do: assert_receive(^outcome, 5_000)
  end

  defp flush(outcome) do
    receive do
      ^outcome -> 1 + flush(outcome)
    after
      0 -> 0
    end
  end

  describe "a busy worker is not a dead one" do
    test "when its interpreter is held for longer than all checks may take" do
      pool = start_pool(health: Keyword.put(@health, :timeout, 100))
      beacon = Beacon.open()
      [%{os_pid: os_pid} = worker] = Snakepit.list_workers(pool)

      call =
        Task.async(fn ->
          Snakepit.execute("hold_interpreter", %{beacon: beacon.port}, pool: pool)
        end)

      handler = Beacon.await(beacon, "holding")
      tap_checks(worker)
      await_checks(10, :answered)

      assert {:ok, %{"healthy" => true, "active_requests" => 1}} =
               GRPCWorker.get_health(worker.pid)

      Beacon.release(beacon, handler, "go")
      assert {:ok, %{"received" => 2}} = Task.await(call)
      assert [%{os_pid: ^os_pid}] = Snakepit.list_workers(pool)
      assert %{restarts: 0, errors: 0} = Snakepit.get_stats(pool)
    end

    test "when calls and streams take all its slots" do
      pool = start_pool(health: @health, max_concurrent_streams: 2)
      beacon = Beacon.open()
      [worker] = Snakepit.list_workers(pool)
      args = %{beacon: beacon.port}
      call = Task.async(fn -> Snakepit.execute("hold", args, pool: pool) end)

      stream =
        Task.async(fn ->
          Snakepit.execute_stream("silent_after", Map.put(args, :n, 0), & &1, pool: pool)
        end)

      handlers = [Beacon.await(beacon, "held"), Beacon.await(beacon, "silent")]

      assert {:ok, %{"active_requests" => 2}} = GRPCWorker.get_health(worker.pid)
      tap_checks(worker)
      await_checks(5, :answered)

      Enum.each(handlers, &Beacon.release(beacon, &1))
      assert {:ok, _word} = Task.await(call)
      assert :ok = Task.await(stream)
      assert %{restarts: 0} = Snakepit.get_stats(pool)
    end
  end

  describe "a worker that does not answer" do
    setup do
      pool = start_pool(health: @health)
      [worker] = Snakepit.list_workers(pool)
      %{pool: pool, worker: worker}
    end

    test "is replaced after as many misses as configured", %{pool: pool, worker: worker} do
      beacon = Beacon.open()
      call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
      Beacon.await(beacon, "held")
      OsProcess.watch(worker.os_pid)
      tap_checks(worker)

      OsProcess.signal(worker.os_pid, "STOP")
      assert Task.await(call, 20_000) == {:error, :worker_exited}
      assert flush(:missed) == 3
      OsProcess.await_ends([worker.os_pid])

      assert :ok = Snakepit.await_ready(pool, 10_000)
      assert [%{os_pid: new, pid: same}] = Snakepit.list_workers(pool)
      assert new != worker.os_pid
      assert same == worker.pid
      assert %{restarts: 1, ready: 1} = Snakepit.get_stats(pool)
    end

    test "is forgiven when it comes back in time", %{pool: pool, worker: worker} do
      tap_checks(worker)
      OsProcess.signal(worker.os_pid, "STOP")
      await_checks(1, :missed)
      OsProcess.signal(worker.os_pid, "CONT")
      _before = flush(:answered)
      await_checks(4, :answered)
      assert [%{state: :ready} = now] = Snakepit.list_workers(pool)
      assert now.os_pid == worker.os_pid
    end

    test "does not hold up the others" do
      pool = start_pool(pool_size: 2, health: @health)
      [%{os_pid: os_pid} = worker, _other] = Snakepit.list_workers(pool)
      tap_checks(worker)
      OsProcess.signal(os_pid, "STOP")
      await_checks(1, :missed)
      [_stopped, %{pid: other}] = Snakepit.list_workers(pool)
      assert {:ok, _pong} = GRPCWorker.execute(other, "ping", %{})
      assert {:ok, %{"healthy" => true}} = GRPCWorker.get_health(other)
      assert :ok = await_replaced(pool, os_pid)
    end

    defp await_replaced(pool, os_pid) do
      OsProcess.watch(os_pid)
      OsProcess.await_ends([os_pid], 10_000)
      # The news of the end may reach this test before the pool.
      with [%{os_pid: ^os_pid} | _] <- Snakepit.list_workers(pool), do: settle_pool(pool)
      Snakepit.await_ready(pool, 10_000)
    end

    defp settle_pool(pool) do
      [%{pid: pid} | _] = Snakepit.list_workers(pool)
      :sys.get_state(pid)
      {:ok, shared} = Snakepit.Pool.Shared.fetch(pool)
      settle(shared)
    end
  end

  describe "what is told of a worker" do
    test "by itself" do
      pool = start_pool()
      [worker] = Snakepit.list_workers(pool)
      {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)

      assert {:ok, health} = GRPCWorker.get_health(worker.pid)
      assert %{"healthy" => true, "active_requests" => 0, "total_requests" => 1} = health
      assert %{"transport" => "native", "python_version" => "3." <> _} = health
      assert health["worker_id"] == worker.id
      assert health["uptime_ms"] >= 0
      assert health["rss_bytes"] > 1_000_000
      assert "os_pid" in health["commands"]
      assert health["bridge_version"] == to_string(Application.spec(:snakepit, :vsn))
    end

    test "by the pool" do
      pool = start_pool(pool_size: 2, max_concurrent_streams: 3)
      beacon = Beacon.open()
      [one, two] = Snakepit.list_workers(pool)

      call = Task.async(fn -> GRPCWorker.execute(two.pid, "hold", %{beacon: beacon.port}) end)
      handler = Beacon.await(beacon, "held")
      assert {:ok, info} = GRPCWorker.get_info(two.pid)
      assert info == Enum.at(Snakepit.list_workers(pool), 1)
      assert %{state: :ready, in_flight: 1, requests: 1, capacity: 3, transport: "native"} = info
      assert %DateTime{} = info.started_at
      assert {:ok, %{in_flight: 0, requests: 0, id: id}} = GRPCWorker.get_info(one.pid)
      assert id == "#{pool}-1"
      assert one.address != two.address

      Beacon.release(beacon, handler)
      assert {:ok, _word} = Task.await(call)
      assert {:ok, %{in_flight: 0, requests: 1}} = GRPCWorker.get_info(two.pid)
    end

    test "of one that is gone is an error" do
      pool = start_pool()
      [%{pid: pid}] = Snakepit.list_workers(pool)
      :ok = stop_supervised({Snakepit.Pool, pool})
      assert GRPCWorker.get_health(pid) == {:error, :grpc_unavailable}
      assert GRPCWorker.get_info(pid) == {:error, :grpc_unavailable}
      assert GRPCWorker.get_channel(pid) == {:error, :grpc_unavailable}
      assert GRPCWorker.execute(pid, "ping", %{}) == {:error, :grpc_unavailable}
      assert Snakepit.list_workers(pool) == {:error, :pool_not_found}
      assert Snakepit.get_stats(pool) == {:error, :pool_not_found}
      assert Snakepit.await_ready(pool, 100) == {:error, :pool_not_found}
    end
  end

  test "the numbers of a pool are those of its calls" do
    pool = start_pool(max_concurrent_streams: 1, queue_limit: 1)
    beacon = Beacon.open()
    args = %{beacon: beacon.port}

    held = Task.async(fn -> Snakepit.execute("hold", args, pool: pool) end)
    handler = Beacon.await(beacon, "held")
    queued = Task.async(fn -> Snakepit.execute("ping", %{}, pool: pool) end)
    await_queued(pool, 1)
    assert Snakepit.execute("ping", %{}, pool: pool) == {:error, :pool_saturated}
    stats = Snakepit.get_stats(pool)
    assert %{workers: 1, ready: 1, busy_slots: 1, free_slots: 0, queued: 1, rejected: 1} = stats

    Beacon.release(beacon, handler)
    assert [{:ok, _}, {:ok, _}] = Task.await_many([held, queued])
    assert {:error, _} = Snakepit.execute("raise_error", %{message: "no"}, pool: pool)
    assert {:error, :worker_timeout} = Snakepit.execute("hold", args, pool: pool, timeout: 50)
    Beacon.release(beacon, Beacon.await(beacon, "held"))

    assert %{requests: 4, errors: 1, timeouts: 1, queued: 0, queue_timeouts: 0, restarts: 0} =
             Snakepit.get_stats(pool)
  end

  test "await_ready waits for a worker that is started again" do
    pool = start_pool()
    assert {:error, :worker_exited} = Snakepit.execute("end_process", %{status: 1}, pool: pool)
    assert Snakepit.await_ready(pool, 10_000) == :ok
    assert %{ready: 1, restarts: 1} = Snakepit.get_stats(pool)
  end
end
