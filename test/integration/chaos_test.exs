defmodule Snakepit.ChaosTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_free: 1]
  import Snakepit.Test.PoolHelper

  @moduletag :capture_log
  @moduletag timeout: 120_000

  @reasons [:worker_exited, :grpc_unavailable, :worker_timeout, :queue_timeout, :cancelled]

  # Calls of every form, halted, timed out and killed at random, while worker processes are killed
  # too. In the end no slot may be lost, no message left, and the pool must serve.
  test "no slot is lost and no message left when callers and workers die" do
    pool = start_pool(pool_size: 2, max_concurrent_streams: 3, queue_limit: 1_000)
    callers = for _caller <- 1..30, do: spawn_monitor(fn -> work(pool, 60) end)

    for {pid, _monitor} <- Enum.take_random(callers, 10) do
      {:ok, _pong} = patient_ping(pool)
      Process.exit(pid, :kill)
    end

    for _turn <- 1..3 do
      kill_worker(pool)
      {:ok, _pong} = patient_ping(pool)
    end

    for {pid, monitor} <- callers do
      assert_receive {:DOWN, ^monitor, :process, ^pid, reason}, 90_000
      assert reason in [:normal, :killed]
    end

    assert Snakepit.await_ready(pool, 30_000) == :ok
    await_free(pool)
    assert %{queued: 0, ready: 2} = Snakepit.get_stats(pool)
    for _call <- 1..20, do: assert({:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool))
  end

  defp work(_pool, 0), do: :ok

  defp work(pool, left) do
    form = Enum.random([:call, :slow_call, :stream, :halted, :lazy, :taken, :messages])
    check(run(form, pool))
    assert Process.info(self(), :messages) == {:messages, []}
    work(pool, left - 1)
  end

  defp check(:ok), do: :ok
  defp check({:ok, _result}), do: :ok
  defp check({:error, reason}), do: assert(reason in @reasons)

  defp run(:call, pool), do: Snakepit.execute("ping", %{}, pool: pool)

  defp run(:slow_call, pool) do
    # Nobody releases it: only the deadline ends it.
    Snakepit.execute("wait_async", %{}, pool: pool, timeout: Enum.random(1..20))
  end

  defp run(:stream, pool) do
    opts = [pool: pool, window: Enum.random(1..50)]
    Snakepit.execute_stream("count", %{n: Enum.random(0..200)}, fn _ -> :ok end, opts)
  end

  defp run(:halted, pool),
    do: Snakepit.execute_stream("count", %{n: 10_000}, fn _ -> :halt end, pool: pool)

  defp run(:lazy, pool), do: lazy(pool, &Stream.run/1)
  defp run(:taken, pool), do: lazy(pool, &Enum.take(&1, 3))

  defp run(:messages, pool) do
    with {:ok, stream} <- Snakepit.start_stream("count", %{n: 100}, pool: pool) do
      receive do
        {:snakepit, ref, _first} when ref == stream.ref -> Snakepit.cancel(stream)
      end
    end
  end

  defp lazy(pool, consume) do
    "count" |> Snakepit.stream!(%{n: 100}, pool: pool) |> consume.()
    :ok
  rescue
    error in Snakepit.Error -> {:error, error.kind}
  end

  defp kill_worker(pool) do
    for %{os_pid: os_pid} when is_integer(os_pid) <- Enum.take(Snakepit.list_workers(pool), 1),
        do: System.cmd("kill", ["-9", "#{os_pid}"], stderr_to_stdout: true)
  end

  defp patient_ping(pool) do
    with {:error, reason} when reason in @reasons <- Snakepit.execute("ping", %{}, pool: pool),
         do: patient_ping(pool)
  end
end
