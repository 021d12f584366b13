defmodule Snakepit.HandlersTest do
  # Where Python handlers run, and what happens around them.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  defp pool(options) do
    {python, options} = Keyword.pop(options, :python, [])
    start_pool([python: python(python)] ++ options)
  end

  defp python(more), do: [modules: ["lifecycle_handlers"]] ++ more

  defp run(pool, command, args \\ %{}) do
    {:ok, result} = Snakepit.execute(command, args, pool: pool)
    result
  end

  defp together(pool, command, beacon, word, count) do
    calls =
      for _ <- 1..count, do: Task.async(fn -> run(pool, command, %{beacon: beacon.port}) end)

    # All of them run before the first may end.
    handlers = for _ <- 1..count, do: Beacon.await(beacon, word)
    Enum.each(handlers, &Beacon.release(beacon, &1))
    Task.await_many(calls)
  end

  describe "sync handlers" do
    test "find their thread-locals again" do
      pool = pool(max_concurrent_streams: 1)
      visits = for _ <- 1..20, do: run(pool, "visit")["visits"]
      assert visits == Enum.to_list(1..20)
    end

    test "run side by side, on as many threads as the worker has slots" do
      pool = pool(max_concurrent_streams: 4)
      beacon = Beacon.open()
      first = together(pool, "visit", beacon, "visiting", 4)
      second = together(pool, "visit", beacon, "visiting", 4)

      threads = first |> Enum.map(& &1["thread"]) |> Enum.uniq()
      assert length(threads) == 4
      assert Enum.sort(Enum.map(second, & &1["thread"])) == Enum.sort(threads)
      assert Enum.all?(second, &(&1["visits"] == 2))
    end

    test "that block do not keep the rest of a burst from its threads" do
      pool = pool(max_concurrent_streams: 4)

      # Short calls in between, so that a thread may just be at it, or on its way.
      for round <- 1..100 do
        for _ <- 1..rem(round, 4)//1, do: run(pool, "loads")
        calls = for _ <- 1..4, do: Task.async(fn -> run(pool, "meet", %{parties: 4}) end)
        assert Task.await_many(calls) == List.duplicate(%{"met" => true}, 4)
      end
    end
  end

  test "async handlers share one loop, which the hooks run on as well" do
    pool = pool(max_concurrent_streams: 4)
    beacon = Beacon.open()
    places = together(pool, "where_async", beacon, "async", 4)
    assert [%{"loop" => loop}] = Enum.uniq(places)
    assert %{"loop" => ^loop} = run(pool, "loads")
  end

  test "a handler that asks for it runs in the main thread, and holds up no other" do
    pool = pool(max_concurrent_streams: 4)
    beacon = Beacon.open()
    call = Task.async(fn -> run(pool, "in_main_thread", %{beacon: beacon.port}) end)
    handler = Beacon.await(beacon, "in main")
    assert %{"visits" => 1} = run(pool, "visit")
    Beacon.release(beacon, handler)
    assert Task.await(call) == %{"main" => true}
  end

  describe "start hooks" do
    test "run once, and the pool is ready only after them" do
      beacon = Beacon.open()
      name = unique_name()
      options = pool_options(name, python: python(env: [START_BEACON: "#{beacon.port}"]))
      starting = Task.async(fn -> Snakepit.Pool.start_link(options) |> hold() end)
      hook = Beacon.await(beacon, "loading")

      assert %{ready: 0} = Snakepit.get_stats(name)
      assert [%{state: :starting}] = Snakepit.list_workers(name)
      assert Snakepit.await_ready(name, 0) == {:error, :worker_timeout}

      Beacon.release(beacon, hook)
      assert Snakepit.await_ready(name, 10_000) == :ok
      assert %{"loads" => 1} = run(name, "loads")
      assert %{"loads" => 1} = run(name, "loads")
      send(starting.pid, :end)
      assert {:ok, _supervisor} = Task.await(starting)
    end

    test "that fail keep the pool from starting, and say why" do
      assert {:error, {reason, _child}} = try_pool(python: [modules: ["failing_start"]])
      assert {:shutdown, {:failed_to_start_child, _gate, error}} = reason
      assert error.message =~ "an on_start hook failed"
      assert error.message =~ "OSError: no such model"
    end

    # A pool lives as long as the process that has started it.
    defp hold(result) do
      receive do
        :end -> result
      end
    end
  end

  test "stop hooks run when the calls have ended, the last one first" do
    beacon = Beacon.open()
    pool = pool(python: [env: [STOP_BEACON: "#{beacon.port}"]])
    call = Task.async(fn -> run(pool, "visit", %{beacon: beacon.port}) end)
    handler = Beacon.await(beacon, "visiting")
    supervisor = Process.whereis(Module.concat(Snakepit.Pool, pool))
    stopping = Task.async(fn -> Supervisor.stop(supervisor) end)
    assert await_draining(pool) == {:error, :draining}
    Beacon.release(beacon, handler)
    assert %{"visits" => 1} = Task.await(call)
    assert Task.await(stopping) == :ok
    assert Beacon.texts(beacon) == ["closed", "stopped"]
  end

  defp await_draining(pool) do
    with {:ok, _pong} <- Snakepit.execute("ping", %{}, pool: pool), do: await_draining(pool)
  end

  describe "the threads of numeric libraries" do
    @names ~w(OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS)

    test "are as many as the pool says" do
      pool = pool(python: [threads: 1, env: [MKL_NUM_THREADS: "3"]])
      set = run(pool, "environment", %{names: @names})
      assert set == Map.new(Enum.zip(@names, ["1", "1", "3"]))

      if File.dir?("/proc/self/task"),
        do: assert(run(pool, "threads_of_numpy") == %{"threads" => 0})
    end

    test "are left to the libraries otherwise" do
      pool = pool(python: [env: [OMP_NUM_THREADS: "2"]])
      assert %{"OMP_NUM_THREADS" => "2"} = run(pool, "environment", %{names: @names})
    end
  end
end
