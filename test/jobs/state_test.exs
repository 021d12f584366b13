defmodule Snakepit.Jobs.StateTest do
  # A job ends once, in one state, however many want to have a say in it.
  use ExUnit.Case, async: false

  import Snakepit.Test.JobsHelper
  import Snakepit.Test.Await, only: [await_free: 1, eventually: 1]

  alias Snakepit.{Error, Jobs}
  alias Snakepit.Test.{Beacon, OsProcess}

  @moduletag :capture_log

  setup_all do
    %{pool: start_pool(pool_size: 2, max_concurrent_streams: 8)}
  end

  setup %{pool: pool} do
    on_exit(fn -> await_free(pool) end)
    %{jobs: start_jobs()}
  end

  test "what a job gave, and why it did not, is kept", %{jobs: jobs} = context do
    id = submit!(context, "nap", %{ms: 1})
    assert {:ok, %{"slept" => 1}} = Jobs.result(id, jobs: jobs)
    assert {:ok, %{"slept" => 1}} = Jobs.result(id, jobs: jobs)

    id = submit!(context, "raises", %{message: "no"})
    assert {:error, %Error{kind: :python, message: "no"}} = Jobs.result(id, jobs: jobs)
    assert %{"state" => "failed", "error_message" => text} = List.last(updates(id, jobs))
    assert text =~ "no"

    id = submit!(context, "nap", %{ms: 5_000}, timeout: 50)
    assert Jobs.result(id, jobs: jobs) == {:error, :worker_timeout}
    assert {:ok, %{"state" => "expired"}} = Jobs.status(id, jobs: jobs)

    for {command, args, kind} <- [
          {"no_such_command", %{}, :unknown_command},
          {"nap", %{ms: self()}, :encoding},
          {"nap", %{ms: "long"}, :invalid_arguments},
          {"unencodable", %{}, :encoding}
        ] do
      id = submit!(context, command, args)
      assert {:error, %Error{kind: ^kind}} = Jobs.result(id, jobs: jobs)
    end
  end

  test "a job goes on when who submitted it has ended", %{jobs: jobs} = context do
    beacon = Beacon.open()
    id = Task.await(Task.async(fn -> submit!(context, "steps", %{n: 1, beacon: beacon.port}) end))
    handler = Beacon.await(beacon, "reported")
    Beacon.release(beacon, handler)
    assert {:ok, %{"steps" => 1}} = Jobs.result(id, jobs: jobs)
  end

  test "a worker that crashes costs the jobs on it, and no other", %{jobs: jobs} = context do
    id = submit!(context, "die")
    assert Jobs.result(id, jobs: jobs) == {:error, :worker_exited}
    id = submit!(context, "nap", %{ms: 1})
    assert {:ok, _slept} = Jobs.result(id, jobs: jobs)
  end

  test "a queued job that is canceled never runs" do
    pool = start_pool(max_concurrent_streams: 1)
    jobs = start_jobs(max_concurrent_jobs: 1)
    beacon = Beacon.open()
    context = %{pool: pool, jobs: jobs}
    first = submit!(context, "steps", %{n: 1, beacon: beacon.port})
    handler = Beacon.await(beacon, "reported")
    second = submit!(context, "count_running", %{})
    assert Jobs.cancel(second, jobs: jobs) == :ok
    assert ["queued", "canceled"] = states(updates(second, jobs))
    Beacon.release(beacon, handler)
    assert {:ok, _steps} = Jobs.result(first, jobs: jobs)
    assert Snakepit.get_stats(pool).requests == 1
    assert Jobs.result(second, jobs: jobs) == {:error, :cancelled}
  end

  test "cancel stops Python that cooperates at once, and says so to who watches",
       %{jobs: jobs} do
    beacon = Beacon.open()
    pool = start_pool()
    context = %{pool: pool, jobs: jobs}

    for _ <- 1..5 do
      id = submit!(context, "busy", %{beacon: beacon.port})
      Beacon.await(beacon, "begun")
      watch = Task.async(fn -> {Enum.to_list(Jobs.watch(id, :stream, jobs: jobs)), now()} end)
      await_state(id, jobs, "running")
      asked = now()
      assert Jobs.cancel(id, jobs: jobs) == :ok
      {updates, seen} = Task.await(watch)
      assert List.last(updates)["state"] == "canceled"
      assert seen - asked < 50
      assert Jobs.cancel(id, jobs: jobs) == :ok
      assert Jobs.result(id, jobs: jobs) == {:error, :cancelled}
    end

    assert cpu_of_a_second(pool) <= 10
    assert %{restarts: 0} = Snakepit.get_stats(pool)
  end

  test "cancel stops Python that ignores it with its worker", %{jobs: jobs} do
    beacon = Beacon.open()
    grace = 500
    pool = start_pool(cancel_grace_ms: grace)
    id = submit!(%{pool: pool, jobs: jobs}, "ignores_everything", %{beacon: beacon.port})
    Beacon.await(beacon, "begun")
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    OsProcess.watch(os_pid)
    await_state(id, jobs, "running")
    asked = now()
    assert Jobs.cancel(id, jobs: jobs) == :ok
    assert List.last(updates(id, jobs))["state"] == "canceled"
    assert now() - asked < 50
    OsProcess.await_ends([os_pid], grace + 1_000)
    assert now() - asked < grace + 200

    eventually(fn ->
      match?([%{state: :ready, os_pid: new}] when new != os_pid, Snakepit.list_workers(pool))
    end)

    assert cpu_of_a_second(pool) <= 10
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp cpu_of_a_second(pool) do
    before = cpu(pool)

    receive do
    after
      1_000 -> cpu(pool) - before
    end
  end

  # In hundredths of a second.
  defp cpu(pool) do
    for %{os_pid: os_pid} <- Snakepit.list_workers(pool), reduce: 0 do
      sum ->
        fields =
          File.read!("/proc/#{os_pid}/stat") |> String.split(")") |> List.last() |> String.split()

        sum + String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))
    end
  end

  test "a job that has ended stays as it ended", %{jobs: jobs} = context do
    id = submit!(context, "nap", %{ms: 1})
    assert {:ok, _slept} = Jobs.result(id, jobs: jobs)
    assert Jobs.cancel(id, jobs: jobs) == {:error, :job_finished}
    assert {:ok, %{"state" => "completed", "seq" => 3}} = Jobs.status(id, jobs: jobs)
  end

  test "two thousand jobs canceled at random moments agree with what was answered" do
    jobs = start_jobs(retain_count: 2_000)
    pool = start_pool(max_concurrent_streams: 16)
    context = %{pool: pool, jobs: jobs}

    answers =
      1..2_000
      |> Task.async_stream(
        fn _ ->
          id = submit!(context, "nap", %{ms: 1})
          for _ <- 1..:rand.uniform(2_000)//1, do: :erlang.yield()
          {id, Jobs.cancel(id, jobs: jobs)}
        end,
        max_concurrency: 50,
        timeout: 60_000
      )
      |> Enum.map(fn {:ok, answer} -> answer end)

    for {id, answer} <- answers do
      final = List.last(updates(id, jobs))
      expected = if answer == :ok, do: "canceled", else: "completed"
      assert {answer, final["state"]} == {answer, expected}
      assert {:ok, %{"state" => ^expected}} = Jobs.status(id, jobs: jobs)
    end

    assert [_canceled, _completed] = answers |> Enum.map(&elem(&1, 1)) |> Enum.uniq()
    assert %{restarts: 0} = Snakepit.get_stats(pool)

    # Every slot is there again, and none twice.
    await_free(pool)
    assert %{free_slots: 16} = Snakepit.get_stats(pool)
    beacon = Beacon.open()
    ids = for _ <- 1..17, do: submit!(context, "steps", %{n: 1, beacon: beacon.port})
    handlers = for _ <- 1..16, do: Beacon.await(beacon, "reported")
    assert %{busy_slots: 16, free_slots: 0} = Snakepit.get_stats(pool)
    assert {:ok, %{"state" => "queued"}} = Jobs.status(List.last(ids), jobs: jobs)
    Enum.each(handlers, &Beacon.release(beacon, &1))
    Beacon.release(beacon, Beacon.await(beacon, "reported"))
    for id <- ids, do: assert({:ok, _steps} = Jobs.result(id, jobs: jobs))
  end

  test "ids that never were, were deleted, or are kept no longer" do
    pool = start_pool()
    jobs = start_jobs(retain_count: 1)
    context = %{pool: pool, jobs: jobs}
    [old, deleted, kept] = for _ <- 1..3, do: finished(context)
    assert Jobs.delete(deleted, jobs: jobs) == {:error, :expired}
    assert Jobs.delete(kept, jobs: jobs) == :ok

    for {id, reason} <- [
          {"", :not_found},
          {"job_1", :not_found},
          {nil, :not_found},
          {kept, :not_found},
          {old, :expired},
          {deleted, :expired}
        ] do
      error = {:error, reason}
      assert Jobs.status(id, jobs: jobs) == error
      assert Jobs.result(id, jobs: jobs) == error
      assert Jobs.cancel(id, jobs: jobs) == error
      assert Jobs.delete(id, jobs: jobs) == error
      assert Jobs.watch(id, fn _ -> :ok end, jobs: jobs) == error
      assert Jobs.stream_results(id, fn _ -> :ok end, jobs: jobs) == error

      for stream <- [
            Jobs.watch(id, :stream, jobs: jobs),
            Jobs.stream_results(id, :stream, jobs: jobs)
          ] do
        assert %Error{kind: ^reason} = assert_raise(Error, fn -> Enum.to_list(stream) end)
      end
    end

    assert Jobs.list(jobs: jobs) == []
  end

  defp finished(%{jobs: jobs} = context) do
    id = submit!(context, "nap", %{ms: 1})
    {:ok, _slept} = Jobs.result(id, jobs: jobs)
    id
  end

  test "jobs are listed as they were submitted", %{jobs: jobs} = context do
    ids = for _ <- 1..3, do: finished(context)
    failed = submit!(context, "raises", %{message: "no"})
    assert {:error, _no} = Jobs.result(failed, jobs: jobs)

    assert for(%{"job_id" => id} <- Jobs.list(jobs: jobs), do: id) == ids ++ [failed]

    assert [%{"job_id" => ^failed, "command" => "raises"}] =
             Jobs.list(jobs: jobs, state: "failed")

    assert_raise ArgumentError, ~r/:state expected one of/, fn -> Jobs.list(state: "done") end
  end

  test "a job that lost its worker runs once more if it may, apart from what killed it",
       %{jobs: jobs} = context do
    killer = submit!(context, "die", %{}, idempotent: true)
    sound = for _ <- 1..6, do: submit!(context, "nap", %{ms: 30}, idempotent: true)
    assert Jobs.result(killer, jobs: jobs) == {:error, :worker_exited}
    for id <- sound, do: assert({:ok, %{"slept" => 30}} = Jobs.result(id, jobs: jobs))
  end
end
