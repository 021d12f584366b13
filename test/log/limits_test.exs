defmodule Snakepit.Log.LimitsTest do
  # Whatever workers say, and however fast, neither the VM nor the log is harmed.
  use ExUnit.Case

  import Snakepit.Test.PoolHelper

  alias Snakepit.Log.Client
  alias Snakepit.Test.{Adapters, Await, LogTap}

  @moduletag :capture_log

  setup do: LogTap.attach()

  defp pool(options) do
    python = [modules: ["test_handlers", "logging_handlers"]]
    start_pool([python: python] ++ options)
  end

  defp dropped(text) do
    case Integer.parse(text) do
      {count, " lines of this worker are not in the log" <> _} -> count
      _other -> 0
    end
  end

  defp await_dropped do
    receive do
      {:log, text, %{level: :warning}} -> with 0 <- dropped(text), do: await_dropped()
    after
      30_000 -> flunk("nothing was told")
    end
  end

  # Until the handler's last words are here, and the count of what is missing.
  defp lines(kept, dropped, expected) when kept + dropped >= expected, do: {kept, dropped}

  defp lines(kept, dropped, expected) do
    receive do
      {:log, "x" <> _line, _metadata} -> lines(kept + 1, dropped, expected)
      {:log, "line " <> _line, _metadata} -> lines(kept + 1, dropped, expected)
      {:log, "the last line", _metadata} -> lines(kept + 1, dropped, expected)
      {:log, text, _metadata} -> lines(kept, dropped + dropped(text), expected)
    after
      30_000 -> flunk("#{kept} lines, and #{dropped} that are missing, of #{expected}")
    end
  end

  for adapter <- Adapters.all(), adapter[:language] != :javascript do
    @adapter adapter

    test "a worker that prints 100 MB: #{adapter.name}" do
      pool = pool(@adapter.options)
      [%{pid: worker}] = Snakepit.list_workers(pool)
      :erlang.garbage_collect(worker)
      before = :erlang.memory(:total)
      peak = watch_memory()
      args = %{lines: 1_000_000, size: 100}
      assert {:ok, _} = Snakepit.execute("print_without_end", args, pool: pool, timeout: 60_000)
      {kept, dropped} = lines(0, 0, 1_000_001)
      assert kept + dropped == 1_000_001
      assert kept < 100_000
      assert peak.() - before < 60_000_000
      # The worker's process was never too busy to look after its worker.
      assert {:ok, _} = Snakepit.execute("ping", %{}, pool: pool)
    end

    test "a handler that logs in a loop: #{adapter.name}" do
      pool = pool(@adapter.options)

      {us, answer} =
        :timer.tc(fn -> Snakepit.execute("log_without_end", %{count: 100_000}, pool: pool) end)

      assert {:ok, _} = answer
      assert us < 20_000_000
      # However much was said before.
      assert_receive {:log, "what went wrong", %{level: :error}}, 5_000
      {kept, dropped} = lines(0, 0, 100_000)
      assert kept + dropped == 100_000
      assert kept < 50_000
    end
  end

  test "lines that come faster than they can be counted hold up nothing" do
    pool = pool([])
    args = %{lines: 100_000_000, size: 2}
    assert {:ok, _} = Snakepit.execute("print_without_end", args, pool: pool, timeout: 60_000)
    assert {:ok, _} = Snakepit.execute("ping", %{}, pool: pool)
    assert await_dropped() > 1_000_000
  end

  test "a crash after many lines still has the last of them" do
    pool = pool([])
    Snakepit.execute("print_and_end", %{lines: 20_000}, pool: pool)
    assert_receive {:log, "Worker " <> text, %{level: :error}}, 5_000
    assert text =~ "ended with status 3"
    assert text =~ "why it died"
  end

  test "who listens to the native client and ends has a successor" do
    {_id, pid, _type, _modules} =
      Snakepit.Supervisor |> Supervisor.which_children() |> List.keyfind(Client, 0)

    kill(pid)

    Await.eventually(fn ->
      {_id, successor, _type, _modules} =
        Snakepit.Supervisor |> Supervisor.which_children() |> List.keyfind(Client, 0)

      is_pid(successor) and successor != pid
    end)

    Snakepit.Log.put_level(:client, :trace)
    on_exit(fn -> Snakepit.Log.put_level(:client, :warning) end)
    pool = pool([])
    {:ok, _} = Snakepit.execute("ping", %{}, pool: pool, request_id: "after")
    assert_receive {:log, "the call begins", %{request_id: "after"}}, 5_000
  end

  # The most memory that the VM had until the function that is returned is called.
  defp watch_memory do
    watcher = spawn_link(fn -> watch(0) end)

    fn ->
      send(watcher, {:peak, self()})
      receive do: ({:peak, bytes} -> bytes)
    end
  end

  defp watch(peak) do
    receive do
      {:peak, from} -> send(from, {:peak, peak})
    after
      2 -> watch(max(peak, :erlang.memory(:total)))
    end
  end
end
