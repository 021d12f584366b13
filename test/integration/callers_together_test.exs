defmodule Snakepit.CallersTogetherTest do
  # Many processes that call a handler that takes about nothing, again and again: they look for each
  # other's answers, and must not notice.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_replaced: 2, eventually: 1]
  import Snakepit.Test.OS
  import Snakepit.Test.PoolHelper

  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  setup do
    %{pool: start_pool(max_concurrent_streams: 20)}
  end

  defp call(pool, n) do
    assert Snakepit.execute("typed", %{n: n}, pool: pool) == {:ok, %{"n" => n, "flag" => false}}
  end

  # Callers, each with numbers of its own, that call so often.
  defp callers(pool, count, times) do
    for caller <- 1..count,
        do: Task.async(fn -> for n <- 1..times, do: call(pool, caller * 1_000_000 + n) end)
  end

  defp endless(pool),
    do: spawn(fn -> 1 |> Stream.iterate(&(&1 + 1)) |> Enum.each(&call(pool, &1)) end)

  test "each has its own answers, and no other message", %{pool: pool} do
    callers =
      for task <- 1..16 do
        Task.async(fn ->
          for n <- 1..1_000, do: call(pool, task * 1_000_000 + n)
          refute_received _anything
        end)
      end

    Task.await_many(callers, 60_000)
    assert %{errors: 0, timeouts: 0} = Snakepit.get_stats(pool)
  end

  test "some stop, and the others go on", %{pool: pool} do
    for _ <- 1..20 do
      tasks = for caller <- 1..6, do: callers(pool, 1, 50 * caller)
      tasks |> List.flatten() |> Task.await_many(60_000)
    end
  end

  test "some are killed, and the others go on", %{pool: pool} do
    others = callers(pool, 6, 3_000)

    for _ <- 1..200 do
      killed = for _ <- 1..4, do: endless(pool)
      call(pool, 1)
      Enum.each(killed, &kill/1)
    end

    Task.await_many(others, 60_000)
    eventually(fn -> match?([%{in_flight: 0}], Snakepit.list_workers(pool)) end)
    call(pool, 1)
  end

  test "one that is killed has its call cancelled meanwhile", %{pool: pool} do
    beacon = Beacon.open()
    others = for _ <- 1..4, do: endless(pool)

    for _ <- 1..20 do
      args = %{beacon: beacon.port}
      caller = spawn(fn -> Snakepit.execute("hold_async", args, pool: pool) end)
      Beacon.await(beacon, "held")
      kill(caller)
      Beacon.await(beacon, "closed")
    end

    Enum.each(others, &kill/1)
  end

  test "all hear of the end of the worker, and call the next", %{pool: pool} do
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    test = self()

    callers =
      for caller <- 1..16 do
        Task.async(fn ->
          for n <- 1..300, do: call(pool, n)
          send(test, {:calls, caller})

          Stream.repeatedly(fn -> Snakepit.execute("typed", %{n: 1}, pool: pool) end)
          |> Enum.find(&(not match?({:ok, _answer}, &1)))
        end)
      end

    for caller <- 1..16, do: assert_receive({:calls, ^caller}, 30_000)
    signal(os_pid, "KILL")

    # Who had nothing on it is not told, and goes on with the next.
    await_replaced(pool, os_pid)
    [%{os_pid: next}] = Snakepit.list_workers(pool)
    signal(next, "KILL")
    await_replaced(pool, next)
    {heard, _going_on} = callers |> Task.yield_many(1) |> Enum.split_with(&elem(&1, 1))
    for {_task, result} <- heard, do: assert(result == {:ok, {:error, :worker_exited}})
    Enum.each(callers, &Task.shutdown(&1, :brutal_kill))
    assert heard != []
    call(pool, 1)
  end
end
