defmodule Snakepit.OrphansTest do
  # Whatever ends, and however: nothing of a worker is left two seconds later.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPCWorker
  alias Snakepit.Test.{Beacon, OsProcess, OtherVM}

  @moduletag :capture_log

  describe "when a VM ends" do
    for {how, action} <- [
          {"by SIGKILL", {:signal, "KILL"}},
          {"by SIGTERM", {:signal, "TERM"}},
          {"by System.halt/1", {:tell, "halt"}},
          {"by System.stop/1", {:tell, "stop"}}
        ] do
      test "#{how}, its workers go with their children and the socket directory" do
        vm = OtherVM.start(pool_size: 2)
        {os_pids, directory} = OtherVM.await_pool(vm)
        assert length(os_pids) == 6
        assert File.dir?(directory)

        {action, argument} = unquote(action)
        apply(OtherVM, action, [vm, argument])
        OsProcess.await_ends([vm.os_pid | os_pids], patience(argument))
        refute File.exists?(directory)
      end
    end

    # An orderly stop takes its time, the VM itself included.
    defp patience("stop"), do: 5_000
    defp patience("TERM"), do: 5_000
    defp patience(_other), do: 2_000

    # Linux resumes it when its parent dies; elsewhere it waits for somebody who does.
    @tag skip: not match?({:unix, :linux}, :os.type())
    test "a worker that is stopped by a signal goes too" do
      vm = OtherVM.start(pool_size: 1)
      {[worker | _] = os_pids, directory} = OtherVM.await_pool(vm)
      OsProcess.signal(worker, "STOP")
      OtherVM.signal(vm, "KILL")
      OsProcess.await_ends(os_pids)
      refute File.exists?(directory)
    end

    test "a worker that is still importing goes too" do
      beacon = Beacon.open()
      env = [BEACON: "#{beacon.port}"]
      tmp = OsProcess.tmp_dir()
      python = [modules: ["hanging_import"], env: env]
      vm = OtherVM.start([python: python], TMPDIR: tmp)
      assert_receive {:udp, _socket, _address, _port, os_pid}, 20_000
      os_pid = OsProcess.watch(String.to_integer(os_pid))
      assert ["snakepit-" <> _] = File.ls!(tmp)
      OtherVM.signal(vm, "KILL")
      OsProcess.await_ends([os_pid])
      assert File.ls!(tmp) == []
    end

    test "the workers of another one are not touched" do
      vm = OtherVM.start(pool_size: 1)
      {os_pids, _directory} = OtherVM.await_pool(vm)
      pool = start_pool()
      [%{os_pid: ours}] = Snakepit.list_workers(pool)

      OtherVM.signal(vm, "KILL")
      OsProcess.await_ends(os_pids)
      assert {:ok, %{"os_pid" => ^ours}} = Snakepit.execute("os_pid", %{}, pool: pool)
    end
  end

  test "workers of two applications end with their own" do
    [one, other] = for _ <- 1..2, do: OtherVM.start(pool_size: 1)
    {os_pids, _directory} = OtherVM.await_pool(one)
    {others, directory} = OtherVM.await_pool(other)

    OtherVM.tell(one, "stop")
    OsProcess.await_ends(os_pids, 5_000)
    assert Enum.all?(others, &OsProcess.alive?/1)
    OtherVM.tell(other, "ping")
    assert ["{:ok," | _] = OtherVM.await(other, "pong")
    assert File.dir?(directory)
  end

  describe "when mix test is interrupted" do
    for {how, signal} <- [{"by Ctrl-C", "INT"}, {"politely", "TERM"}, {"by SIGKILL", "KILL"}] do
      test "#{how}, its workers go" do
        args = ~w(test --no-compile --no-deps-check test/processes/held_test.exs)
        vm = OtherVM.open("mix", args, MIX_ENV: "test", SNAKEPIT_HELD_TEST: "1")
        {os_pids, directory} = OtherVM.await_pool(vm)

        OtherVM.signal(vm, unquote(signal))
        if unquote(signal) == "INT", do: abort(vm)
        OsProcess.await_ends(os_pids, 5_000)
        refute File.exists?(directory)
      end
    end
  end

  # What the VM asks after Ctrl-C; an answer that comes before the question is lost.
  defp abort(vm) do
    OtherVM.await(vm, "BREAK:")
    OtherVM.tell(vm, "a")
  end

  describe "in a VM that goes on" do
    setup do
      pool = unique_name()
      spec = {Snakepit.Pool, pool_options(pool, pool_size: 2)}
      start_supervised!(spec, restart: :temporary)
      workers = Snakepit.list_workers(pool)

      os_pids =
        for %{pid: pid} <- workers do
          {:ok, %{"os_pids" => os_pids}} = GRPCWorker.execute(pid, "leave_grandchild", %{})
          Enum.map(os_pids, &OsProcess.watch/1)
        end

      %{pool: pool, workers: workers, os_pids: os_pids}
    end

    test "a worker whose Elixir process is killed goes, with its children", context do
      [%{pid: worker}, %{os_pid: other}] = context.workers
      kill(worker)
      OsProcess.await_ends(hd(context.os_pids))
      assert OsProcess.alive?(other)
    end

    test "a worker that is killed takes its children along, without anybody calling", context do
      [%{os_pid: worker}, %{os_pid: other}] = context.workers
      OsProcess.signal(worker, "KILL")
      OsProcess.await_ends(hd(context.os_pids))
      assert :ok = Snakepit.await_ready(context.pool, 10_000)
      assert OsProcess.alive?(other)
    end

    test "all workers go with the supervisor of their pool", context do
      {:ok, %{directory: directory}} = Snakepit.Pool.Shared.fetch(context.pool)
      kill(Process.whereis(Module.concat(Snakepit.Pool, context.pool)))
      OsProcess.await_ends(List.flatten(context.os_pids))
      await_no_pool(context.pool)
      refute File.exists?(directory)
    end

    test "all workers go when the pool is stopped", context do
      :ok = stop_supervised({Snakepit.Pool, context.pool})
      # Nothing of the workers is there when the stop returns; what they had started was killed.
      for %{os_pid: os_pid} <- context.workers, do: refute(OsProcess.alive?(os_pid))
      OsProcess.await_ends(List.flatten(context.os_pids))
    end

    # The pool's server ends by itself when its supervisor is gone.
    defp await_no_pool(pool) do
      with {:ok, %{server: server}} <- Snakepit.Pool.Shared.fetch(pool) do
        monitor = Process.monitor(server)
        assert_receive {:DOWN, ^monitor, :process, _pid, _reason}, 2_000
      end
    end
  end

  test "a worker that ignores SIGTERM is killed after the grace" do
    pool = start_pool(shutdown_timeout: 300)
    {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("ignore_sigterm", %{}, pool: pool)
    OsProcess.watch(os_pid)
    {microseconds, :ok} = :timer.tc(fn -> stop_supervised({Snakepit.Pool, pool}) end)
    refute OsProcess.alive?(os_pid)
    assert microseconds >= 300_000
    assert microseconds < 2_000_000
  end
end
