defmodule Snakepit.Adapters.OwnWorkerTest do
  # Snakepit's own Python workers through pipes: they live like those that speak gRPC.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_replaced: 2]
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPCWorker, Session}
  alias Snakepit.Test.{Adapters, Beacon, LogTap, OsProcess, OtherVM}

  @moduletag :capture_log

  @modules [modules: ["test_handlers", "session_handlers", "logging_handlers"]]

  for adapter <- Adapters.pipes() do
    describe adapter.name do
      @options adapter.options
      @transport adapter.transport
      @codec adapter.codec

      test "values arrive in Python as documented" do
        pool = start(@options)

        for {value, expected} <- [
              {nil, {"NoneType", "None"}},
              {true, {"bool", "True"}},
              {18_446_744_073_709_551_616, {"int", "18446744073709551616"}},
              {-9_223_372_036_854_775_809, {"int", "-9223372036854775809"}},
              {1.5, {"float", "1.5"}},
              {"grüße", {"str", "'grüße'"}},
              {<<0, 255>>, {"bytes", "b'\\x00\\xff'"}},
              {Snakepit.binary("abc"), {"bytes", "b'abc'"}},
              {:atom, {"str", "'atom'"}},
              {{1, "two"}, {"list", "[1, 'two']"}},
              {%{"b" => %{c: nil}}, {"dict", "{'b': {'c': None}}"}},
              {~D[2026-01-02], {"str", "'2026-01-02'"}}
            ] do
          {:ok, %{"type" => type, "repr" => repr}} =
            Snakepit.execute("describe", %{value: value}, pool: pool)

          assert {type, repr} == expected
        end
      end

      test "values arrive in Elixir as documented" do
        pool = start(@options)
        {:ok, values} = Snakepit.execute("python_values", %{}, pool: pool)
        one = if @codec == :json, do: "1", else: 1

        assert %{
                 "none" => nil,
                 "big" => 1_180_591_620_717_411_303_424,
                 "nan" => :nan,
                 "inf" => :infinity,
                 "neg_inf" => :neg_infinity,
                 "str" => "grüße",
                 "bytes" => <<0, 255>>,
                 "tuple" => [1, "two"],
                 "dict" => %{"a" => %{"b" => %{}}, ^one => "one"},
                 "datetime" => "2026-01-02T03:04:05"
               } = values

        assert {:error, %Error{kind: :encoding, message: message}} =
                 Snakepit.execute("give_object", %{}, pool: pool)

        assert message =~ "result.layers[2].weights"
      end

      test "errors are those of every worker" do
        pool = start(@options)

        assert {:error, %Error{kind: :python, python_type: "ValueError", message: "no"} = error} =
                 Snakepit.execute("raise_error", %{message: "no"}, pool: pool)

        assert error.traceback =~ "in raise_error"

        assert {:error, %Error{kind: :invalid_arguments}} =
                 Snakepit.execute("typed", %{n: "x"}, pool: pool)

        assert {:error, %Error{kind: :unknown_command}} =
                 Snakepit.execute("nothing", %{}, pool: pool)
      end

      test "messages that are too large are refused, in both directions" do
        pool = start(@options, max_message_size: 100_000)
        args = %{value: :binary.copy("x", 200_000)}

        assert {:error, %Error{kind: :too_large}} =
                 Snakepit.execute("describe", args, pool: pool)

        assert {:error, %Error{kind: :too_large}} =
                 Snakepit.execute("give_bytes", %{size: 200_000}, pool: pool)

        assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
        assert %{restarts: 0} = Snakepit.get_stats(pool)
      end

      test "calls run at once, and in any order" do
        pool = start(@options)
        beacon = Beacon.open()

        calls =
          for n <- 1..5 do
            Task.async(fn ->
              args = %{beacon: beacon.port, name: "held #{n}"}
              Snakepit.execute("hold", args, pool: pool)
            end)
          end

        handlers = for n <- 5..1//-1, do: {n, Beacon.await(beacon, "held #{n}")}
        for {n, handler} <- handlers, do: Beacon.release(beacon, handler, "word #{n}")
        expected = for n <- 1..5, do: {:ok, %{"word" => "word #{n}"}}
        assert Task.await_many(calls) == expected
      end

      test "a deadline and the death of a caller cancel the handler" do
        pool = start(@options)
        beacon = Beacon.open()
        args = %{beacon: beacon.port}
        result = Snakepit.execute("hold_async", args, pool: pool, timeout: 200)
        assert result == {:error, :worker_timeout}
        Beacon.await(beacon, "held")
        Beacon.await(beacon, "closed")

        caller = spawn(fn -> Snakepit.execute("hold_async", args, pool: pool) end)
        Beacon.await(beacon, "held")
        kill(caller)
        Beacon.await(beacon, "closed")
        assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
        assert %{busy_slots: 0, restarts: 0} = Snakepit.get_stats(pool)
      end

      test "sessions keep their state, and their end arrives in Python" do
        pool = start(@options, pool_size: 2)
        beacon = Beacon.open()
        {:ok, session} = Session.create("s", pool: pool)
        opts = [pool: pool]
        args = %{value: 7, beacon: beacon.port}
        {:ok, %{"os_pid" => os_pid}} = Snakepit.execute_in_session("s", "remember", args, opts)

        for _ <- 1..5 do
          assert {:ok, %{"value" => 7, "os_pid" => ^os_pid}} =
                   Snakepit.execute_in_session("s", "recall", %{}, opts)
        end

        assert session
        :ok = Session.delete("s", pool: pool)
        Beacon.await(beacon, "s ended with 7")
      end

      test "a session is lost with its worker, and that is told" do
        pool = start(@options)
        opts = [pool: pool]

        {:ok, %{"os_pid" => os_pid}} =
          Snakepit.execute_in_session("s", "count_session", %{}, opts)

        OsProcess.watch(os_pid)
        OsProcess.signal(os_pid, "KILL")
        OsProcess.await_ends([os_pid])
        await_replaced(pool, os_pid)
        result = Snakepit.execute_in_session("s", "count_session", %{}, opts)
        assert result == {:error, :session_lost}
      end

      test "what Python prints and logs goes to Logger" do
        pool = start(@options)
        [%{id: id}] = Snakepit.list_workers(pool)
        LogTap.attach()
        {:ok, _} = Snakepit.execute("say", %{text: "a line from a pipe #{id}"}, pool: pool)
        text = "a line from a pipe #{id}"
        assert_receive {:log, ^text, %{worker_id: ^id, level: :info}}, 5_000

        args = %{level: "warning", text: "a warning #{id}"}
        {:ok, _} = Snakepit.execute("log", args, pool: pool, request_id: "req-7")
        text = "a warning #{id}"

        assert_receive {:log, ^text, %{worker_id: ^id, level: :warning, request_id: "req-7"}},
                       5_000

        {:ok, _} = Snakepit.execute("say_much", %{size: 200_000}, pool: pool)
        assert_receive {:log, "xxx" <> rest, %{worker_id: ^id}}, 5_000
        assert rest =~ "[cut: the line has 200000 bytes]"
      end

      test "the last words of a worker stand in the error" do
        pool = start(@options)
        [%{id: id}] = Snakepit.list_workers(pool)
        LogTap.attach()
        {:ok, _} = Snakepit.execute("say", %{text: "famous last words"}, pool: pool)
        result = Snakepit.execute("end_process", %{status: 7}, pool: pool)
        assert result == {:error, :worker_exited}
        assert_receive {:log, "Worker" <> text, %{worker_id: ^id, level: :error}}, 5_000
        assert text =~ "ended with status 7"
        assert text =~ "famous last words"
      end

      test "a pool does not start when a module cannot be imported, and says why" do
        options = @options ++ [python: [modules: ["broken_module"]]]
        assert {:error, {{:shutdown, {_, _, %Error{} = error}}, _child}} = try_pool(options)
        assert error.message =~ "ended with status 1 before it was ready"
        assert error.message =~ "RuntimeError: this module cannot be imported"
      end

      test "a pool does not start when a worker is not ready in time" do
        options = [python: [modules: ["hanging_module"]], server_startup_timeout: 1_000]
        assert {:error, {{:shutdown, {_, _, error}}, _child}} = try_pool(@options ++ options)
        assert error.message =~ "was not ready within 1000 ms"
        assert error.message =~ "importing for ever"
      end

      test "a killed worker ends its calls and takes its children along" do
        pool = start(@options)
        beacon = Beacon.open()
        {:ok, %{"os_pids" => os_pids}} = Snakepit.execute("leave_grandchild", %{}, pool: pool)
        Enum.each(os_pids, &OsProcess.watch/1)
        args = %{beacon: beacon.port}

        calls =
          for _ <- 1..3, do: Task.async(fn -> Snakepit.execute("hold", args, pool: pool) end)

        for _ <- calls, do: Beacon.await(beacon, "held")
        OsProcess.signal(hd(os_pids), "KILL")
        assert Enum.uniq(Task.await_many(calls)) == [{:error, :worker_exited}]
        assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
        OsProcess.await_ends(os_pids)
      end

      test "a worker that is stopped is found by health checks, and replaced" do
        pool = start(@options, health: [interval: 50, timeout: 100, max_misses: 2])
        {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("os_pid", %{}, pool: pool)
        OsProcess.watch(os_pid)
        OsProcess.signal(os_pid, "STOP")
        OsProcess.await_ends([os_pid], 5_000)
        assert {:ok, %{"os_pid" => other}} = Snakepit.execute("os_pid", %{}, pool: pool)
        assert other != os_pid
      end

      test "a worker that ends again and again opens its circuit" do
        pool = start(@options, session_affinity: :hint)
        LogTap.attach()

        for _ <- 1..5 do
          assert {:error, :worker_exited} =
                   Snakepit.execute("end_process", %{status: 1}, pool: pool)
        end

        assert {:error, :grpc_unavailable} = Snakepit.execute("ping", %{}, pool: pool)
        assert {:ok, _pong} = await_up(pool)
      end

      test "a pool that stops lets calls finish" do
        pool = start(@options)
        beacon = Beacon.open()
        call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
        handler = Beacon.await(beacon, "held")
        [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
        OsProcess.watch(os_pid)
        stopping = Task.async(fn -> Supervisor.stop(Snakepit.Pool.supervisor(pool)) end)
        await_draining(pool)
        Beacon.release(beacon, handler, "well done")
        assert Task.await(call) == {:ok, %{"word" => "well done"}}
        assert Task.await(stopping, 10_000) == :ok
        OsProcess.await_ends([os_pid])
      end

      test "a pool that stops does not wait for ever" do
        pool = start(@options, shutdown_timeout: 200)
        beacon = Beacon.open()
        call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
        Beacon.await(beacon, "held")
        :ok = stop_supervised({Snakepit.Pool, pool})
        assert Task.await(call) == {:error, :worker_exited}
      end

      test "workers are replaced by requests and by memory, without a lost call" do
        for recycle <- [[max_requests: 10], [max_rss_mb: 200]] do
          pool = start(@options, recycle: recycle, health: [interval: 20])
          {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("os_pid", %{}, pool: pool)
          OsProcess.watch(os_pid)
          {:ok, %{"os_pid" => ^os_pid}} = Snakepit.execute("grow", %{mib: 300}, pool: pool)
          await_other(pool, os_pid)
          OsProcess.await_ends([os_pid], 5_000)
          assert %{errors: 0} = Snakepit.get_stats(pool)
        end
      end

      test "a worker goes with its Elixir process, and another comes" do
        pool = start(@options)
        {:ok, %{"os_pids" => os_pids}} = Snakepit.execute("leave_grandchild", %{}, pool: pool)
        Enum.each(os_pids, &OsProcess.watch/1)
        beacon = Beacon.open()
        call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
        Beacon.await(beacon, "held")
        [%{pid: pid}] = Snakepit.list_workers(pool)
        kill(pid)
        assert Task.await(call) == {:error, :worker_exited}
        OsProcess.await_ends(os_pids)
        assert {:ok, _pong} = await_up(pool)
      end

      test "tells of itself" do
        pool = start(@options)

        assert [%{transport: @transport, address: "pipe:" <> _, pid: pid}] =
                 Snakepit.list_workers(pool)

        assert {:ok, %{"healthy" => true, "transport" => @transport, "rss_bytes" => bytes}} =
                 GRPCWorker.get_health(pid)

        assert bytes > 0
        assert {:ok, %{transport: @transport}} = GRPCWorker.get_info(pid)
        assert {:ok, %Snakepit.Stdio.Channel{}} = GRPCWorker.get_channel(pid)
        result = GRPCWorker.execute_in_session(pid, "s", "count_session", %{})
        assert {:ok, %{"n" => 1}} = result
      end

      test "workers end with the VM that is killed" do
        vm = OtherVM.start([pool_size: 2] ++ @options)
        {os_pids, directory} = OtherVM.await_pool(vm)
        assert length(os_pids) == 6
        OtherVM.signal(vm, "KILL")
        OsProcess.await_ends([vm.os_pid | os_pids])
        refute File.exists?(directory)
      end
    end
  end

  defp start(adapter, options \\ []), do: start_pool(adapter ++ [python: @modules] ++ options)

  defp await_other(pool, os_pid) do
    case Snakepit.execute("os_pid", %{}, pool: pool) do
      {:ok, %{"os_pid" => ^os_pid}} -> await_other(pool, os_pid)
      {:ok, _another} -> :ok
    end
  end

  defp await_up(pool) do
    case Snakepit.execute("ping", %{}, pool: pool) do
      {:ok, pong} -> {:ok, pong}
      {:error, reason} when reason in [:grpc_unavailable, :worker_exited] -> await_up(pool)
    end
  end

  defp await_draining(pool) do
    case Snakepit.execute("ping", %{}, pool: pool) do
      {:error, :draining} -> :ok
      {:ok, _not_yet} -> await_draining(pool)
    end
  end
end
