defmodule Snakepit.StatusTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.{Jobs, Session, Status}
  alias Snakepit.Test.{Await, JobsHelper}

  @moduletag :capture_log

  defp of(part, pool), do: Enum.filter(Map.fetch!(Status.snapshot(), part), &(&1.pool == pool))
  defp pool_of(name), do: Enum.find(Status.snapshot().pools, &(&1.name == name))

  test "a pool, its worker and its session" do
    pool = start_pool(max_concurrent_streams: 3)
    {:ok, session} = Session.create(pool: pool)
    {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)

    assert %{ready: 1, workers: 1, free_slots: 3, queued: 0, sessions: 1, requests: 1} =
             pool_of(pool)

    assert [worker] = of(:workers, pool)
    assert %{state: :ready, in_flight: 0, capacity: 3, requests: 1, restarts: 0} = worker
    assert worker.age_ms >= 0
    assert worker.rss_bytes > 1_000_000

    assert [%{id: id, worker_id: worker_id, age_ms: age, idle_ms: idle}] = of(:sessions, pool)
    assert {id, worker_id} == {session.id, session.worker_id}
    assert age >= 0 and idle >= 0

    stop_supervised!({Snakepit.Pool, pool})
    assert pool_of(pool) == nil
    assert of(:workers, pool) == []
  end

  test "restarts are counted for each worker" do
    pool = start_pool(pool_size: 2)
    [%{id: id, os_pid: os_pid}, %{id: other}] = Snakepit.list_workers(pool)

    System.cmd("kill", ["-KILL", "#{os_pid}"])
    Await.eventually(fn -> Enum.any?(of(:workers, pool), &(&1.restarts == 1)) end)
    :ok = Snakepit.await_ready(pool)

    assert %{^id => 1, ^other => 0} = Map.new(of(:workers, pool), &{&1.id, &1.restarts})
    assert Snakepit.get_stats(pool).restarts == 1
  end

  test "jobs of all services, by state and the latest first" do
    pool = JobsHelper.start_pool()
    jobs = JobsHelper.start_jobs()
    {:ok, first} = Jobs.submit("ping", %{}, pool: pool, jobs: jobs)
    {:ok, _pong} = Jobs.result(first, jobs: jobs)
    {:ok, second} = Jobs.submit("no_such_command", %{}, pool: pool, jobs: jobs)
    {:error, _unknown} = Jobs.result(second, jobs: jobs)

    %{counts: counts} = Status.Jobs.snapshot()
    assert Map.keys(counts) |> Enum.sort() == ~w(canceled completed expired failed queued running)
    assert counts["completed"] >= 1 and counts["failed"] >= 1

    latest = Enum.filter(Status.Jobs.snapshot().latest, &(&1["jobs"] == jobs))
    assert Enum.map(latest, & &1["job_id"]) == [second, first]
    assert [%{"command" => "no_such_command", "state" => "failed"}, _first] = latest
  end

  test "it can be asked while pools start, stop and crash" do
    watcher = Task.async(fn -> watch(0) end)

    for round <- 1..4 do
      name = unique_name()
      start_supervised!({Snakepit.Pool, pool_options(name, pool_size: 2)}, id: round)
      caller = spawn(fn -> Snakepit.execute("wait_async", %{}, pool: name) end)
      {:ok, _session} = Session.create(pool: name)
      {:ok, shared} = Snakepit.Pool.Shared.fetch(name)

      case round do
        1 ->
          for %{os_pid: pid} <- Snakepit.list_workers(name),
              do: System.cmd("kill", ["-KILL", "#{pid}"])

        2 ->
          Process.exit(shared.server, :kill)

        3 ->
          Process.exit(shared.sessions.keeper, :kill)

        4 ->
          Process.exit(caller, :kill)
      end

      _status = Status.snapshot()
      Snakepit.await_ready(name)
      stop_supervised!(round)
    end

    send(watcher.pid, :enough)
    assert Task.await(watcher) > 0
  end

  defp watch(seen) do
    receive do
      :enough -> seen
    after
      0 ->
        %{pools: _, workers: _, sessions: _, jobs: _, errors: _} = Status.snapshot()
        watch(seen + 1)
    end
  end
end
