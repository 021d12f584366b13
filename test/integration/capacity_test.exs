defmodule Snakepit.CapacityTest do
  # What the capacity of a worker and the queue before it promise, with handlers that take their
  # time. Alone on the machine, as the time is what is looked at.
  use ExUnit.Case, async: false

  import Snakepit.Test.Await, only: [await_busy: 1]
  import Snakepit.Test.PoolHelper

  @second 1_000

  defp timed(fun) do
    {micros, result} = :timer.tc(fun)
    {div(micros, 1_000), result}
  end

  defp work(pool, ms, opts \\ []),
    do: Snakepit.execute("work", %{ms: ms}, [pool: pool] ++ opts)

  defp work_in_steps(pool, ms) do
    Snakepit.execute_stream("work_in_steps", %{ms: ms, steps: 4}, fn _chunk -> :ok end,
      pool: pool
    )
  end

  test "a worker of capacity 4 runs four calls and streams at once, and the fifth waits" do
    pool = start_pool(max_concurrent_streams: 4)

    four = [&work/2, &work/2, &work_in_steps/2, &work_in_steps/2]

    for fifth <- [&work/2, &work_in_steps/2] do
      times =
        for run <- four ++ [fifth],
            do: Task.async(fn -> timed(fn -> run.(pool, @second) end) end)

      {times, results} = times |> Task.await_many(10_000) |> Enum.unzip()
      assert Enum.all?(results, &(&1 == :ok or match?({:ok, _}, &1)))

      {at_once, [waited]} = times |> Enum.sort() |> Enum.split(4)
      assert Enum.all?(at_once, &(&1 in @second..1_900))
      assert waited >= 2 * @second
      assert waited < 3_800
    end
  end

  test "counters, replies and executions of a pool that is too small agree" do
    pool =
      start_pool(
        pool_size: 1,
        max_concurrent_streams: 1,
        queue_limit: 5,
        queue_timeout: 100
      )

    replies =
      for(_ <- 1..10, do: Task.async(fn -> work(pool, 500) end))
      |> Task.await_many(10_000)

    assert Enum.frequencies(replies) == %{
             {:ok, %{"worked" => 1}} => 1,
             {:error, :queue_timeout} => 5,
             {:error, :pool_saturated} => 4
           }

    assert %{queue_timeouts: 5, rejected: 4, requests: 1, errors: 0, queued: 0, busy_slots: 0} =
             Snakepit.get_stats(pool)

    # None of those that gave up runs after all.
    assert {:ok, %{"worked" => 1}} = Snakepit.execute("times_worked", %{}, pool: pool)
  end

  test "a call that runs out of time in the queue never runs" do
    pool = start_pool(max_concurrent_streams: 1)
    running = Task.async(fn -> work(pool, 300) end)
    await_busy(pool)
    assert work(pool, 1, timeout: 50) == {:error, :worker_timeout}
    assert {:ok, %{"worked" => 1}} = Task.await(running)
    assert {:ok, %{"worked" => 1}} = Snakepit.execute("times_worked", %{}, pool: pool)
    assert %{timeouts: 1, requests: 2} = Snakepit.get_stats(pool)
  end

  test "an idle pool stops in less than half a second" do
    pool = start_pool(pool_size: 4)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    {ms, :ok} = timed(fn -> stop_supervised({Snakepit.Pool, pool}) end)
    assert ms < 500
  end
end
