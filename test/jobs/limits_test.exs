defmodule Snakepit.Jobs.LimitsTest do
  # Every key of the configuration does what it says, and a stop tells everybody.
  use ExUnit.Case, async: false

  import Snakepit.Test.Await, only: [eventually: 1]
  import Snakepit.Test.JobsHelper

  alias Snakepit.{Error, Jobs}
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  setup do
    %{pool: start_pool()}
  end

  defp finished(context, command \\ "nap", args \\ %{ms: 1}) do
    id = submit!(context, command, args)
    {:ok, _result} = Jobs.result(id, jobs: context.jobs)
    id
  end

  test "max_concurrent_jobs and max_queued_jobs", %{pool: pool} do
    jobs = start_jobs(max_concurrent_jobs: 2, max_queued_jobs: 3)
    beacon = Beacon.open()
    context = %{pool: pool, jobs: jobs}
    ids = for _ <- 1..5, do: submit!(context, "steps", %{n: 1, beacon: beacon.port})
    assert Jobs.submit("nap", %{}, pool: pool, jobs: jobs) == {:error, :too_many_jobs}
    handlers = for _ <- 1..2, do: Beacon.await(beacon, "reported")

    assert %{"queued" => 3, "running" => 2} =
             Enum.frequencies_by(Jobs.list(jobs: jobs), & &1["state"])

    Enum.each(handlers, &Beacon.release(beacon, &1))
    for _ <- 1..3, do: Beacon.release(beacon, Beacon.await(beacon, "reported"))
    for id <- ids, do: assert({:ok, _} = Jobs.result(id, jobs: jobs))
    assert {:ok, _id} = Jobs.submit("nap", %{}, pool: pool, jobs: jobs)
  end

  test "job_timeout, and a timeout of the job's own", %{pool: pool} do
    jobs = start_jobs(job_timeout: 50)
    context = %{pool: pool, jobs: jobs}
    id = submit!(context, "nap", %{ms: 3_000})
    assert ["queued", "running", "expired"] = states(updates(id, jobs))
    id = submit!(context, "nap", %{ms: 100}, timeout: 10_000)
    assert {:ok, _slept} = Jobs.result(id, jobs: jobs)
  end

  test "the time in the queue of the pool is not that of the job" do
    pool = start_pool(max_concurrent_streams: 1)
    jobs = start_jobs(job_timeout: 400)
    context = %{pool: pool, jobs: jobs}
    ids = for _ <- 1..6, do: submit!(context, "nap", %{ms: 100})
    for id <- ids, do: assert({:ok, %{"slept" => 100}} = Jobs.result(id, jobs: jobs))
    id = submit!(context, "rows", %{n: 5})
    assert {:ok, %{"rows" => _rows}} = Jobs.result(id, jobs: jobs)
  end

  test "max_result_bytes", %{pool: pool} do
    jobs = start_jobs(max_result_bytes: 10_000)
    context = %{pool: pool, jobs: jobs}

    for command <- ["rows", "table"] do
      id = submit!(context, command, %{n: 1_000})
      assert {:error, %Error{kind: :too_large, message: message}} = Jobs.result(id, jobs: jobs)
      assert message =~ "10000 bytes"
      assert {:ok, _small} = Jobs.result(submit!(context, command, %{n: 10}), jobs: jobs)
    end

    # Also what has no rows, and what there is besides them.
    for {command, args} <- [
          {"large", %{size: 20_000}},
          {"table_and_more", %{n: 1, more: 20_000}}
        ] do
      id = submit!(context, command, args)
      assert {:error, %Error{kind: :too_large}} = Jobs.result(id, jobs: jobs)
      assert {:ok, %{"rows" => 0}} = Jobs.status(id, jobs: jobs)
    end
  end

  test "retain_count: the oldest go first, a running one never", %{pool: pool} do
    jobs = start_jobs(retain_count: 2)
    context = %{pool: pool, jobs: jobs}
    beacon = Beacon.open()
    running = submit!(context, "steps", %{n: 1, beacon: beacon.port})
    handler = Beacon.await(beacon, "reported")
    [first, second, third] = for _ <- 1..3, do: finished(context)
    assert Jobs.status(first, jobs: jobs) == {:error, :expired}
    for id <- [second, third, running], do: assert({:ok, _status} = Jobs.status(id, jobs: jobs))
    Beacon.release(beacon, handler)
    assert {:ok, _steps} = Jobs.result(running, jobs: jobs)
    assert Jobs.status(second, jobs: jobs) == {:error, :expired}
  end

  test "retain_bytes", %{pool: pool} do
    jobs = start_jobs(retain_bytes: 100_000)
    alone = submit!(%{pool: pool, jobs: jobs}, "table", %{n: 1_000, width: 200})
    assert {:ok, %{"rows" => _rows}} = Jobs.result(alone, jobs: jobs)
    context = %{pool: pool, jobs: jobs}
    small = finished(context)
    large = submit!(context, "table", %{n: 1_000, width: 30})
    assert {:ok, _rows} = Jobs.result(large, jobs: jobs)
    assert Jobs.status(small, jobs: jobs) |> elem(0) == :ok
    other = submit!(context, "table", %{n: 1_000, width: 30})
    assert {:ok, _rows} = Jobs.result(other, jobs: jobs)
    for id <- [small, large], do: assert(Jobs.status(id, jobs: jobs) == {:error, :expired})
    assert {:ok, _status} = Jobs.status(other, jobs: jobs)
  end

  test "retain_ms", %{pool: pool} do
    jobs = start_jobs(retain_ms: 100)
    id = finished(%{pool: pool, jobs: jobs})
    assert {:ok, _status} = Jobs.status(id, jobs: jobs)
    await_expired(id, jobs)
  end

  defp await_expired(id, jobs) do
    eventually(fn -> not match?({:ok, _status}, Jobs.status(id, jobs: jobs)) end)
    assert Jobs.status(id, jobs: jobs) == {:error, :expired}
  end

  test "wrong options are refused with what was expected" do
    for {options, message} <- [
          {[max_concurrent_jobs: 0], ~r/:max_concurrent_jobs expected a positive integer, got 0/},
          {[retain: 1], ~r/Snakepit.Jobs: unknown option :retain/}
        ] do
      assert_raise ArgumentError, message, fn -> Jobs.child_spec(options) end
    end

    assert_raise ArgumentError, ~r/did you mean :stream/, fn ->
      Jobs.submit("x", %{}, strem: true)
    end

    assert {:error, %Error{kind: :invalid_arguments}} = Jobs.submit(:x, %{})
    assert {:error, %Error{kind: :invalid_arguments}} = Jobs.submit("x", [1])
    assert Jobs.submit("x", %{}, jobs: :nobody) == {:error, :not_found}
  end

  test "result waits no longer than it is told", %{pool: pool} do
    jobs = start_jobs()
    id = submit!(%{pool: pool, jobs: jobs}, "nap", %{ms: 300})
    assert Jobs.result(id, jobs: jobs, timeout: 0) == {:error, :worker_timeout}
    assert {:ok, _slept} = Jobs.result(id, jobs: jobs)
  end

  test "the service of the application needs no name", %{pool: pool} do
    {:ok, id} = Jobs.submit("nap", %{ms: 1}, pool: pool)
    assert {:ok, %{"slept" => 1}} = Jobs.result(id)
    assert {:ok, %{"state" => "completed"}} = Jobs.status(id)
    assert Enum.any?(Jobs.list(), &(&1["job_id"] == id))
    assert Jobs.delete(id) == :ok
  end

  describe "a stop" do
    setup %{pool: pool} do
      beacon = Beacon.open()
      jobs = start_jobs(max_concurrent_jobs: 1, shutdown_timeout: 1_000)
      context = %{pool: pool, jobs: jobs}
      running = submit!(context, "rows", %{n: 10, hold_at: 5, beacon: beacon.port})
      queued = submit!(context, "nap", %{})
      handler = Beacon.await(beacon, "half")

      waiting =
        for wait <- [
              fn -> Jobs.watch(running, fn _ -> :ok end, jobs: jobs) end,
              fn -> Jobs.watch(queued, fn _ -> :ok end, jobs: jobs) end,
              fn -> Jobs.stream_results(running, fn _ -> :ok end, jobs: jobs) end,
              fn -> Jobs.result(running, jobs: jobs) end,
              fn ->
                Jobs.submit_batch([%{command: "nap"}], fn _ -> :ok end, pool: pool, jobs: jobs)
              end
            ],
            do: Task.async(wait)

      %{jobs: jobs, beacon: beacon, handler: handler, waiting: waiting, running: running}
    end

    test "tells everybody, also when the running job does not end", context do
      {micros, :ok} = :timer.tc(fn -> stop_supervised({Jobs, context.jobs}) end)
      assert micros >= 900_000
      assert micros < 2_500_000

      [watch, watch_queued, rows, result, batch] = Task.await_many(context.waiting)
      # Who is quick enough sees how the job ended.
      for answer <- [watch, watch_queued], do: assert(answer in [:ok, {:error, :draining}])
      for answer <- [rows, result], do: assert({:error, :draining} == answer)
      assert batch in [:ok, {:error, :draining}]
      assert Jobs.submit("nap", %{}, jobs: context.jobs) == {:error, :draining}
      assert Jobs.status(context.running, jobs: context.jobs) == {:error, :draining}
      assert Jobs.list(jobs: context.jobs) == []
      Beacon.release(context.beacon, context.handler)
    end

    test "lets a running job finish", context do
      test = self()
      stopping = spawn_link(fn -> send(test, {:stopped, stop_jobs(context.jobs)}) end)
      # The job that waits has heard of it first.
      assert Task.await(Enum.at(context.waiting, 1)) in [:ok, {:error, :draining}]
      Beacon.release(context.beacon, context.handler)
      assert_receive {:stopped, :ok}, 5_000
      refute Process.alive?(stopping)
      assert Task.await(hd(context.waiting)) in [:ok, {:error, :draining}]
    end

    defp stop_jobs(jobs) do
      {:ok, board} = Snakepit.Jobs.Board.fetch(jobs)
      GenServer.stop(board.server, :shutdown)
    end
  end

  test "a pool that stops fails its jobs, and says why", %{pool: pool} do
    jobs = start_jobs()
    beacon = Beacon.open()
    slow = start_pool(shutdown_timeout: 100)
    context = %{pool: slow, jobs: jobs}
    id = submit!(context, "busy", %{beacon: beacon.port})
    Beacon.await(beacon, "begun")
    :ok = stop_supervised({Snakepit.Pool, slow})
    assert Jobs.result(id, jobs: jobs) == {:error, :worker_exited}
    assert Jobs.result(submit!(context, "nap"), jobs: jobs) == {:error, :pool_not_found}
    assert {:ok, _slept} = Jobs.result(submit!(%{context | pool: pool}, "nap"), jobs: jobs)
  end
end
