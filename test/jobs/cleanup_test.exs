defmodule Snakepit.Jobs.CleanupTest do
  # What a service keeps is of the jobs that are there, not of those that were.
  use ExUnit.Case, async: false

  import Snakepit.Test.Await, only: [eventually: 1]
  import Snakepit.Test.JobsHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]

  alias Snakepit.Jobs
  alias Snakepit.Jobs.{Board, Results}
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  setup do
    %{pool: start_pool(max_concurrent_streams: 8)}
  end

  defp board(jobs) do
    {:ok, board} = Board.fetch(jobs)
    board
  end

  # Of the server, in words.
  defp size(jobs), do: board(jobs).server |> :sys.get_state() |> :erts_debug.flat_size()

  defp tables(jobs) do
    board = board(jobs)

    for table <- [:jobs, :updates, :values, :bells, :expired], into: %{} do
      {table, :ets.info(Map.fetch!(board, table), :size)}
    end
  end

  defp await_no_runner(jobs) do
    eventually(fn ->
      Snakepit.Jobs.Schedule.runners(:sys.get_state(board(jobs).server).schedule) == []
    end)
  end

  test "jobs that are deleted whenever it may be leave nothing behind", %{pool: pool} do
    jobs = start_jobs()
    context = %{pool: pool, jobs: jobs}
    before = size(jobs)

    1..2_000
    |> Task.async_stream(
      fn n ->
        command = Enum.at(["nap", "table", "rows"], rem(n, 3))
        id = submit!(context, command, if(command == "nap", do: %{ms: 0}, else: %{n: 2}))
        watcher = spawn(fn -> Jobs.watch(id, fn _update -> :ok end, jobs: jobs) end)
        reader = spawn(fn -> Jobs.stream_results(id, fn _chunk -> :ok end, jobs: jobs) end)
        for _ <- 1..:rand.uniform(2_000)//1, do: :erlang.yield()
        assert Jobs.delete(id, jobs: jobs) == :ok
        kill(watcher)
        kill(reader)
      end,
      max_concurrency: 50,
      timeout: 60_000
    )
    |> Stream.run()

    await_no_runner(jobs)
    assert tables(jobs) == %{jobs: 0, updates: 0, values: 0, bells: 0, expired: 0}
    assert size(jobs) < before + 500
  end

  test "jobs that are taken back before they ran leave nothing behind", %{pool: pool} do
    jobs = start_jobs(max_concurrent_jobs: 1)
    beacon = Beacon.open()
    context = %{pool: pool, jobs: jobs}
    submit!(context, "busy", %{beacon: beacon.port})
    Beacon.await(beacon, "begun")
    before = size(jobs)

    for _ <- 1..5_000 do
      id = submit!(context, "nap")
      assert Jobs.delete(id, jobs: jobs) == :ok
    end

    assert size(jobs) < before + 500
  end

  test "a finished job costs the same however many are kept", %{pool: pool} do
    jobs = start_jobs(retain_count: 100_000, max_concurrent_jobs: 1)
    beacon = Beacon.open()
    context = %{pool: pool, jobs: jobs}
    submit!(context, "busy", %{beacon: beacon.port})
    Beacon.await(beacon, "begun")

    submit_and_cancel = fn ->
      id = submit!(context, "nap")
      :ok = Jobs.cancel(id, jobs: jobs)
      id
    end

    delete = fn ids ->
      {micros, :ok} = :timer.tc(fn -> Enum.each(ids, &(:ok = Jobs.delete(&1, jobs: jobs))) end)
      micros
    end

    few = delete.(for _ <- 1..200, do: submit_and_cancel.())
    {these, others} = Enum.split(for(_ <- 1..30_000, do: submit_and_cancel.()), 200)
    assert delete.(these) < 10 * few + 20_000
    assert length(others) == 29_800
  end

  test "a large result is freed in nobody's way", %{pool: pool} do
    jobs = start_jobs()
    context = %{pool: pool, jobs: jobs}
    id = submit!(context, "nap", %{ms: 0})
    assert {:ok, _slept} = Jobs.result(id, jobs: jobs)
    {:ok, job} = Board.job(board(jobs), id)
    for n <- 1..1_000_000, do: Results.append(job.results, {n})
    {micros, :ok} = :timer.tc(fn -> Jobs.delete(id, jobs: jobs) end)
    assert micros < 20_000
  end
end
