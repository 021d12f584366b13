defmodule Snakepit.Adapters.FiguresTest do
  # What other tests do to the machine at the same time does not count: these run alone.
  use ExUnit.Case, async: false

  import Snakepit.Test.Await, only: [await_busy: 2]
  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPC.Native
  alias Snakepit.Test.{Adapters, PackedPipeAdapter, PipeAdapter}

  @sigkill 9

  @moduletag :capture_log

  @foreign for adapter <- [PipeAdapter, PackedPipeAdapter],
               do: %{
                 name: inspect(adapter),
                 options: [adapter: adapter],
                 wait: {"sleep", %{ms: 60_000}}
               }
  @own for adapter <- Adapters.pipes(), do: Map.put(adapter, :wait, {"wait_async", %{}})

  for %{name: name} = adapter <- @foreign ++ @own do
    @adapter adapter
    test "#{name}: the callers of a killed worker are told at once" do
      pool = start_pool(@adapter.options)
      assert Enum.min(for _ <- 1..3, do: killed_and_told(pool, @adapter.wait)) < 300
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    end
  end

  test "what waits for a program that does not read takes no memory when nobody waits for it" do
    pool = start_pool(adapter: PipeAdapter, health: [interval: 60_000])
    deaf = Task.async(fn -> Snakepit.execute("deaf", %{}, pool: pool, timeout: 60_000) end)
    await_busy(pool, 1)
    :erlang.garbage_collect()
    before = :erlang.memory(:binary)

    for _ <- 1..100 do
      args = %{data: :binary.copy("x", 1_000_000)}
      result = Snakepit.execute("echo", args, pool: pool, timeout: 20)
      assert result == {:error, :worker_timeout}
    end

    :erlang.garbage_collect()
    assert :erlang.memory(:binary) - before < 50_000_000
    Task.shutdown(deaf, :brutal_kill)
  end

  # How long the slowest of some callers waited for the news.
  defp killed_and_told(pool, {command, args}) do
    # This call waits for the next process.
    {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)

    calls =
      for _ <- 1..3 do
        Task.async(fn ->
          result = Snakepit.execute(command, args, pool: pool)
          {result, System.monotonic_time(:millisecond)}
        end)
      end

    await_busy(pool, 3)
    killed = System.monotonic_time(:millisecond)
    # To start the program that sends signals takes longer than all the rest.
    :ok = Native.signal_group(os_pid, @sigkill)
    ended = for {{:error, :worker_exited}, ended} <- Task.await_many(calls), do: ended
    assert length(ended) == 3
    Enum.max(ended) - killed
  end
end
