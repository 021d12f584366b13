defmodule Snakepit.Adapters.ChaosTest do
  # Calls through pipes, small and so large that pipes fill, timed out and killed at random, while
  # worker processes are killed too. No answer may reach the wrong caller, no slot be lost, no
  # message or table row be left, and the pool must serve in the end.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_free: 1, eventually: 1, eventually: 2]
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPCWorker}
  alias Snakepit.Test.{Adapters, OS, PipeAdapter}

  @moduletag :capture_log
  @moduletag timeout: 120_000

  @reasons [:worker_exited, :grpc_unavailable, :worker_timeout, :queue_timeout, :worker_busy]
  @foreign %{
    name: "a foreign program",
    options: [adapter: PipeAdapter],
    echo: "echo",
    slow: "sleep"
  }

  for adapter <- Adapters.pipes() ++ [@foreign] do
    @adapter adapter
    test "#{adapter.name}: everybody gets the own answer or an error, and nothing is left" do
      options = [pool_size: 2, max_concurrent_streams: 3, cancel_grace_ms: 5_000]
      pool = start_pool(@adapter.options ++ options)
      adapter = @adapter
      callers = for _ <- 1..20, do: spawn_monitor(fn -> work(pool, adapter, 40) end)

      for {pid, _monitor} <- Enum.take_random(callers, 6) do
        {:ok, _pong} = patient_ping(pool)
        Process.exit(pid, :kill)
      end

      for _turn <- 1..3 do
        for %{os_pid: os_pid} when is_integer(os_pid) <-
              Enum.take(Snakepit.list_workers(pool), 1),
            do: OS.signal(os_pid, "KILL")

        {:ok, _pong} = patient_ping(pool)
      end

      for {pid, monitor} <- callers do
        assert_receive {:DOWN, ^monitor, :process, ^pid, reason}, 90_000
        assert reason in [:normal, :killed]
      end

      await_free(pool)

      # The news of the last end may come late: who answers is nobody that was killed.
      for %{pid: pid} <- Snakepit.list_workers(pool),
          do: eventually(fn -> match?({:ok, _}, GRPCWorker.execute(pid, "ping", %{})) end, 30_000)

      eventually(
        fn -> match?(%{queued: 0, ready: 2, busy_slots: 0}, Snakepit.get_stats(pool)) end,
        30_000
      )

      for %{pid: pid} <- Snakepit.list_workers(pool) do
        {:ok, channel} = GRPCWorker.get_channel(pid)
        # A health check may be under way.
        eventually(fn -> :ets.info(channel.calls, :size) == 0 end)
        assert :atomics.get(channel.counters, 2) == 0
      end
    end
  end

  defp work(_pool, _adapter, 0), do: :ok

  defp work(pool, adapter, left) do
    check(run(Enum.random([:call, :call, :large, :slow, :hurried]), pool, adapter))
    assert Process.info(self(), :messages) == {:messages, []}
    work(pool, adapter, left - 1)
  end

  defp check(:ok), do: :ok
  defp check({:error, reason}), do: assert(reason in @reasons)

  defp run(:call, pool, adapter), do: echo(pool, adapter, :rand.uniform(1_000_000_000), 5_000)

  defp run(:large, pool, adapter),
    do: echo(pool, adapter, :binary.copy(<<Enum.random(?a..?z)>>, Enum.random(1..300_000)), 5_000)

  # May be over before it has been written.
  defp run(:hurried, pool, adapter),
    do: echo(pool, adapter, String.duplicate("x", 200_000), Enum.random(0..5))

  defp run(:slow, pool, %{slow: command}) do
    opts = [pool: pool, timeout: Enum.random(1..20)]
    with {:ok, _slept} <- Snakepit.execute(command, %{ms: 5}, opts), do: :ok
  end

  defp run(:slow, pool, _own) do
    # Nobody releases it: only the deadline ends it.
    Snakepit.execute("wait_async", %{}, pool: pool, timeout: Enum.random(1..20))
  end

  defp echo(pool, %{echo: command}, value, timeout) do
    with {:ok, result} <-
           Snakepit.execute(command, %{value: value}, pool: pool, timeout: timeout) do
      assert result == %{"value" => value}
      :ok
    end
  end

  defp echo(pool, _own, value, timeout) do
    with {:ok, %{"repr" => repr}} <-
           Snakepit.execute("describe", %{value: value}, pool: pool, timeout: timeout) do
      assert String.trim(repr, "'") == to_string(value)
      :ok
    end
  end

  defp patient_ping(pool) do
    case Snakepit.execute("ping", %{}, pool: pool) do
      {:error, %Error{} = error} -> flunk(Exception.message(error))
      {:error, reason} when reason in @reasons -> patient_ping(pool)
      {:ok, pong} -> {:ok, pong}
    end
  end
end
