defmodule Snakepit.WorkerTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPCWorker}
  alias Snakepit.Test.{Beacon, LogTap}

  @moduletag :capture_log

  defp alive?(os_pid),
    do: match?({_, 0}, System.cmd("kill", ["-0", "#{os_pid}"], stderr_to_stdout: true))

  # The end of a process that is not ours sends no message.
  defp await_gone(os_pid), do: eventually(fn -> not alive?(os_pid) end)

  defp start_error(options) do
    assert {:error, {reason, _child}} = try_pool(options)
    assert {:shutdown, {:failed_to_start_child, Snakepit.Pool.Gate, %Error{} = error}} = reason
    assert error.kind == :worker_crashed
    error
  end

  describe "a pool does not start" do
    test "when a module cannot be imported, and says what it wrote" do
      error = start_error(python: [modules: ["broken_module"]])
      assert error.message =~ "ended with status 1 before it was ready"
      assert error.message =~ "RuntimeError: this module cannot be imported"
      assert error.message =~ "broken_module.py"
    end

    test "when a module does not exist" do
      error = start_error(python: [modules: ["no_such_module"]])
      assert error.message =~ "No module named 'no_such_module'"
    end

    test "when the interpreter does not exist" do
      error = start_error(python: [executable: "/no/such/python"])
      assert error.message =~ ~s("/no/such/python")
    end

    test "when the interpreter is something else" do
      error = start_error(python: [executable: "/bin/true"])
      assert error.message =~ "ended with status 0 before it was ready"
    end

    test "when a worker is not ready in time" do
      error = start_error(python: [modules: ["hanging_module"]], server_startup_timeout: 1_000)
      assert error.message =~ "was not ready within 1000 ms"
      assert error.message =~ "importing for ever"
      [_, os_pid] = Regex.run(~r/process (\d+)/, error.message)
      await_gone(os_pid)
    end

    test "with options that are wrong" do
      assert_raise ArgumentError, ~r/did you mean :pool_size/, fn ->
        Snakepit.Pool.start_link(pool_sice: 1)
      end
    end

    test "twice under one name" do
      pool = start_pool()

      assert {:error, {:already_started, _pid}} =
               Snakepit.Pool.start_link(pool_options(pool, []))
    end
  end

  describe "a worker that is killed" do
    test "ends its calls with :worker_exited and is replaced" do
      pool = start_pool()
      beacon = Beacon.open()
      [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
      args = %{beacon: beacon.port}

      call = Task.async(fn -> Snakepit.execute("hold", args, pool: pool) end)
      stream = Task.async(fn -> Snakepit.execute_stream("watched", args, & &1, pool: pool) end)
      Beacon.await(beacon, "held")
      System.cmd("kill", ["-9", "#{os_pid}"])

      assert Task.await(call) == {:error, :worker_exited}
      assert Task.await(stream) == {:error, :worker_exited}

      assert :ok = Snakepit.await_ready(pool, 10_000)
      assert {:ok, %{"os_pid" => new_pid}} = Snakepit.execute("os_pid", %{}, pool: pool)
      assert new_pid != os_pid
      assert %{restarts: 1, busy_slots: 0, ready: 1} = Snakepit.get_stats(pool)
    end

    test "is waited for by callers that come meanwhile" do
      pool = start_pool()
      assert {:error, :worker_exited} = Snakepit.execute("end_process", %{status: 3}, pool: pool)

      # No retry here: the call waits in the queue until the new process is ready.
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
      assert %{restarts: 1, errors: 1} = Snakepit.get_stats(pool)
    end

    test "does not touch the others" do
      pool = start_pool(pool_size: 2)
      [%{pid: one}, %{pid: other, os_pid: other_pid}] = Snakepit.list_workers(pool)
      assert {:error, :worker_exited} = GRPCWorker.execute(one, "end_process", %{status: 1})
      assert {:ok, %{"os_pid" => ^other_pid}} = GRPCWorker.execute(other, "os_pid", %{})
      assert :ok = Snakepit.await_ready(pool, 10_000)
      assert {:ok, %{"os_pid" => ^other_pid}} = GRPCWorker.execute(other, "os_pid", %{})
    end

    test "is noticed although a child of it keeps its output open, and the child goes too" do
      pool = start_pool()

      {:ok, %{"child" => child, "os_pid" => os_pid}} =
        Snakepit.execute("leave_child", %{}, pool: pool)

      assert alive?(child)
      System.cmd("kill", ["-9", "#{os_pid}"])
      await_replaced(pool, os_pid)
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
      await_gone(child)
    end
  end

  describe "a pool that stops" do
    test "leaves no process and no directory" do
      pool = start_pool(pool_size: 2)
      {:ok, %{"child" => child}} = Snakepit.execute("leave_child", %{}, pool: pool)
      workers = Snakepit.list_workers(pool)
      ["unix:" <> socket | _] = Enum.map(workers, & &1.address)
      assert File.exists?(socket)

      :ok = stop_supervised({Snakepit.Pool, pool})

      for %{os_pid: os_pid} <- workers, do: await_gone(os_pid)
      await_gone(child)
      refute File.exists?(Path.dirname(socket))
      assert Snakepit.execute("ping", %{}, pool: pool) == {:error, :pool_not_found}
    end

    test "lets running calls finish and refuses new ones" do
      pool = start_pool(max_concurrent_streams: 1)
      beacon = Beacon.open()
      call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
      handler = Beacon.await(beacon, "held")
      queued = Task.async(fn -> Snakepit.execute("ping", %{}, pool: pool) end)

      test = self()
      stopping = spawn_link(fn -> send(test, {:stopped, Supervisor.stop(supervisor(pool))}) end)
      assert Task.await(queued) == {:error, :draining}
      assert Snakepit.execute("ping", %{}, pool: pool) == {:error, :draining}

      refute_received {:stopped, _}
      Beacon.release(beacon, handler, "well done")
      assert Task.await(call) == {:ok, %{"word" => "well done"}}
      assert_receive {:stopped, :ok}, 10_000
      refute Process.alive?(stopping)
    end

    test "does not wait for ever for a call that does not end" do
      pool = start_pool(shutdown_timeout: 200)
      beacon = Beacon.open()
      call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
      Beacon.await(beacon, "held")
      [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
      :ok = stop_supervised({Snakepit.Pool, pool})
      assert Task.await(call) == {:error, :worker_exited}
      await_gone(os_pid)
    end

    defp supervisor(pool), do: Process.whereis(Module.concat(Snakepit.Pool, pool))
  end

  test "a worker whose Elixir process is killed comes back" do
    pool = start_pool()
    [%{pid: worker, os_pid: os_pid}] = Snakepit.list_workers(pool)
    kill(worker)
    await_replaced(pool, os_pid)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    await_gone(os_pid)
  end

  test "a pool whose server is killed comes back" do
    pool = start_pool()
    {:ok, shared} = Snakepit.Pool.Shared.fetch(pool)
    kill(shared.server)
    await_generation(pool, shared.generation)
    assert :ok = Snakepit.await_ready(pool, 10_000)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    refute File.exists?(shared.directory)
  end

  test "a worker whose directory was cleaned away starts again" do
    pool = start_pool()
    {:ok, %{directory: directory}} = Snakepit.Pool.Shared.fetch(pool)
    File.rm_rf!(directory)
    assert {:error, :worker_exited} = Snakepit.execute("end_process", %{status: 1}, pool: pool)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    assert File.stat!(directory).type == :directory
  end

  describe "output" do
    setup do
      pool = start_pool()
      LogTap.attach()
      %{pool: pool}
    end

    test "goes to the log with the worker's id", %{pool: pool} do
      [%{id: id}] = Snakepit.list_workers(pool)
      {:ok, _} = Snakepit.execute("say", %{text: "hello from Python"}, pool: pool)
      assert_receive {:log, "hello from Python", %{worker_id: ^id}}, 5_000
    end

    test "cannot be taken for the protocol", %{pool: pool} do
      text = "\x1e" <> ~s({"event":"ready","os_pid":1})
      {:ok, _} = Snakepit.execute("say", %{text: text}, pool: pool)
      {:ok, _} = Snakepit.execute("say", %{text: "afterwards"}, pool: pool)
      assert_receive {:log, "afterwards", _metadata}, 5_000
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    end

    test "of a megabyte in one line does no harm", %{pool: pool} do
      {:ok, _} = Snakepit.execute("say_much", %{size: 1_000_000}, pool: pool)
      {:ok, _} = Snakepit.execute("say", %{text: "afterwards"}, pool: pool)
      assert_receive {:log, "xxx" <> _ = line, _metadata}, 5_000
      assert line =~ "[cut: the line has 1000000 bytes]"
      assert_receive {:log, "afterwards", _metadata}, 5_000
    end
  end

  describe "on TCP" do
    test "workers have a port each, behind a token" do
      {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, base} = :inet.port(socket)
      # The first port is taken, as seen from the pool.
      pool = start_pool(base_port: base, port_range: 100, pool_size: 2)
      :gen_tcp.close(socket)

      addresses = pool |> Snakepit.list_workers() |> Enum.map(& &1.address)
      assert addresses == Enum.uniq(addresses)
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)

      for "http://127.0.0.1:" <> port <- addresses do
        assert String.to_integer(port) in (base + 1)..(base + 99)

        assert {:error, reason} =
                 Snakepit.GRPC.Client.connect("127.0.0.1", String.to_integer(port))

        refute match?({:ok, _}, reason)
      end
    end
  end

  test "environment, path and arguments reach Python" do
    python = [
      modules: ["lifecycle_handlers"],
      env: [SNAKEPIT_TEST_WORD: "from the environment"],
      args: ["--worker-id", "named by an argument"]
    ]

    pool = start_pool(python: python)
    names = %{names: ["SNAKEPIT_TEST_WORD"]}
    assert {:ok, environment} = Snakepit.execute("environment", names, pool: pool)
    assert environment == %{"SNAKEPIT_TEST_WORD" => "from the environment"}
    [%{pid: worker}] = Snakepit.list_workers(pool)
    assert {:ok, %{"worker_id" => "named by an argument"}} = GRPCWorker.get_health(worker)
  end
end
