defmodule Snakepit.Adapters.NoLibraryTest do
  # A VM in which the native library cannot be loaded at all.
  use ExUnit.Case, async: true

  alias Snakepit.Adapters.GenericPythonV2
  alias Snakepit.Test.{OsProcess, OtherVM}

  for how <- [:missing, :broken] do
    describe "when the library is #{how}" do
      setup do
        vm =
          OtherVM.start_without_library(unquote(how), adapter: GenericPythonV2, pool_size: 2)

        {os_pids, directory} = OtherVM.await_pool(vm)
        assert length(os_pids) == 6
        %{vm: vm, os_pids: os_pids, directory: directory}
      end

      test "workers that speak JSON through pipes serve, crash, and end", context do
        %{vm: vm, os_pids: os_pids, directory: directory} = context
        refute OtherVM.eval(vm, "Snakepit.GRPC.Native.loaded()") == ":ok"

        call = ~s|Snakepit.execute("describe", %{value: <<0, 255>>}, pool: :other)|
        assert OtherVM.eval(vm, call) =~ ~s("type" => "bytes")

        session = ~s|Snakepit.execute_in_session("s", "count_session", %{}, pool: :other)|
        assert OtherVM.eval(vm, session) =~ ~s("n" => 1)
        assert OtherVM.eval(vm, session) =~ ~s("n" => 2)

        late = ~s|Snakepit.execute("wait_async", %{}, pool: :other, timeout: 100)|
        assert OtherVM.eval(vm, late) == "{:error, :worker_timeout}"

        # Its children go with a worker that is killed.
        [worker, child, grandchild | others] = os_pids
        OsProcess.signal(worker, "KILL")
        OsProcess.await_ends([worker, child, grandchild], 5_000)
        await = "Snakepit.await_ready(:other, 10_000)"
        assert OtherVM.eval(vm, await) == ":ok"

        stop = "Supervisor.stop(Snakepit.Pool.supervisor(:other))"
        assert OtherVM.eval(vm, stop) == ":ok"
        OsProcess.await_ends(others, 5_000)
        refute File.exists?(directory)
        OtherVM.tell(vm, "halt")
        OsProcess.await_ends([vm.os_pid], 5_000)
      end

      test "and end with the VM that is killed", %{vm: vm, os_pids: os_pids, directory: directory} do
        OtherVM.signal(vm, "KILL")
        OsProcess.await_ends([vm.os_pid | os_pids])
        refute File.exists?(directory)
      end

      test "what needs the library says so, and a fallback serves", %{vm: vm} do
        for adapter <- ["GRPCPython", "GenericPythonMsgpack"] do
          start =
            "Process.flag(:trap_exit, true); Snakepit.Pool.start_link(name: :needy, " <>
              "pool_size: 1, adapter: Snakepit.Adapters.#{adapter})"

          assert OtherVM.eval(vm, start) =~ "The native library of Snakepit is not available"
        end

        start =
          "elem(Snakepit.Pool.start_link(name: :needy, pool_size: 1, adapter: " <>
            "Snakepit.Adapters.GRPCPython, fallback_adapter: Snakepit.Adapters.GenericPythonV2), 0)"

        assert OtherVM.eval(vm, start) == ":ok"
        call = ~s|execute("ping", %{}, pool: :needy)|
        assert OtherVM.eval(vm, "Snakepit." <> call) == "{:error, :grpc_unavailable}"

        fallback = ~s|Snakepit.AdapterFallback.execute_with_fallback("ping", %{}, pool: :needy)|
        assert OtherVM.eval(vm, fallback) =~ ~s("message" => "pong")

        first =
          "elem(Snakepit.Pool.start_link(name: :first, pool_size: 1, adapters: " <>
            "[Snakepit.Adapters.GRPCPython, Snakepit.Adapters.GenericPythonV2]), 0)"

        assert OtherVM.eval(vm, first) == ":ok"
        assert OtherVM.eval(vm, "hd(Snakepit.list_workers(:first)).transport") == ~s("stdio-json")
        OtherVM.tell(vm, "halt")
      end
    end
  end
end
