defmodule Snakepit.Adapters.ForeignGRPCTest do
  # The server of the first design: plain fields, five methods, started as `script --port N`.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_busy: 1]
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPC, GRPCWorker}
  alias Snakepit.Test.{CallingAdapter, OsProcess, OtherVM, SeedAdapter}

  @moduletag :capture_log

  # Importing grpcio takes a second, and several do it at once.
  @patience [server_startup_timeout: 30_000]

  # One for the tests that do no harm to it.
  setup_all do
    name = unique_name()
    options = [name: name, adapter: SeedAdapter, pool_size: 1] ++ @patience
    start_supervised!({Snakepit.Pool, options})
    %{pool: name}
  end

  describe "a pool of a user's adapter" do
    test "calls", %{pool: pool} do
      assert {:ok, %{"status" => "ok", "timestamp" => 1.5}} =
               Snakepit.execute("ping", %{}, pool: pool)

      assert Snakepit.execute("compute", %{a: 2, b: 3}, pool: pool) == {:ok, %{"sum" => 5}}

      # The rule of JSON, with its losses.
      args = %{text: "hello", number: "5", bytes: <<0, 255>>, list: [1, %{a: nil}]}

      assert Snakepit.execute("echo", args, pool: pool) ==
               {:ok,
                %{
                  "text" => "hello",
                  "number" => 5,
                  "bytes" => <<0, 255>>,
                  "list" => [1, %{"a" => nil}]
                }}

      assert {:error, %Error{kind: :python, message: "Unknown command: nothing"}} =
               Snakepit.execute("nothing", %{}, pool: pool)

      assert {:error, %Error{kind: :encoding, message: message}} =
               Snakepit.execute("echo", %{list: {:array, {1}, :u8, "x"}}, pool: pool)

      assert message =~ "args.list: an array cannot be sent as JSON"
    end

    test "streams", %{pool: pool} do
      test = self()
      callback = &send(test, {:chunk, &1})
      assert :ok = Snakepit.execute_stream("ping_stream", %{count: 3}, callback, pool: pool)

      for n <- 0..2 do
        message = "Ping #{n + 1}"
        assert_receive {:chunk, %{"message" => ^message, "n" => ^n, "is_final" => false}}
      end

      assert_receive {:chunk, %{"is_final" => true} = final}
      assert map_size(final) == 1

      chunks = "ping_stream" |> Snakepit.stream!(%{count: 100}, pool: pool) |> Enum.to_list()
      assert length(chunks) == 101

      assert {:error, %Error{message: "in the middle"}} =
               Snakepit.execute_stream("fail_stream", %{}, & &1, pool: pool)

      {:ok, stream} = Snakepit.start_stream("ping_stream", %{count: 1}, pool: pool)
      ref = stream.ref
      # Messages come from the native client, which leaves the values as they are.
      assert_receive {:snakepit, ^ref, {:chunk, %{"n" => "0"} = chunk}}, 5_000
      assert %{"n" => 0, "is_final" => false} = GRPC.Client.decode_result(chunk)
      assert_receive {:snakepit, ^ref, {:chunk, %{"is_final" => true}}}, 5_000
      assert_receive {:snakepit, ^ref, :done}, 5_000
      # Kept until here: a stream that is collected ends without a word.
      :ok = Snakepit.cancel(stream)

      # It has no such method.
      result = Snakepit.execute_client_stream("total", %{}, [%{n: 1}], pool: pool)
      assert result == {:error, :streaming_not_supported}
    end

    test "sessions", %{pool: pool} do
      for n <- 1..3 do
        result = Snakepit.execute_in_session("s", "count", %{}, pool: pool)
        assert result == {:ok, %{"n" => n}}
      end
    end

    test "a deadline", %{pool: pool} do
      result = Snakepit.execute("sleep", %{ms: 500}, pool: pool, timeout: 100)
      assert result == {:error, :worker_timeout}
    end

    test "is started with a port and nothing else", %{pool: pool} do
      assert {:ok, %{"argv" => ["--port", port]}} = Snakepit.execute("os_pid", %{}, pool: pool)
      address = "http://127.0.0.1:#{port}"
      assert [%{address: ^address, transport: "grpc", pid: pid}] = Snakepit.list_workers(pool)
      assert {:ok, %{"healthy" => true, "worker_id" => "seed"}} = GRPCWorker.get_health(pid)
    end

    test "is called by a client without a pool", %{pool: pool} do
      [%{address: "http://127.0.0.1:" <> port}] = Snakepit.list_workers(pool)
      {:ok, channel} = GRPC.Client.connect("127.0.0.1", port)
      assert GRPC.Client.execute(channel, "compute", %{a: 1, b: 1}) == {:ok, %{"sum" => 2}}
      test = self()
      callback = &send(test, {:chunk, &1})
      assert :ok = GRPC.Client.execute_stream(channel, "ping_stream", %{count: 2}, callback)
      assert_receive {:chunk, %{"n" => 0}}
      assert_receive {:chunk, %{"n" => 1}}
      assert_receive {:chunk, %{"is_final" => true}}
    end
  end

  test "a foreign worker is replaced when it ends, and leaves nothing when the pool stops" do
    pool = start_pool([adapter: SeedAdapter, pool_size: 1] ++ @patience)
    {:ok, %{"os_pid" => program}} = Snakepit.execute("os_pid", %{}, pool: pool)
    [%{os_pid: guard}] = Snakepit.list_workers(pool)
    assert guard != program
    Enum.each([program, guard], &OsProcess.watch/1)
    call = Task.async(fn -> Snakepit.execute("sleep", %{ms: 60_000}, pool: pool) end)
    await_busy(pool)
    OsProcess.signal(program, "KILL")
    assert Task.await(call) == {:error, :worker_exited}
    OsProcess.await_ends([program, guard])

    {:ok, %{"os_pid" => next}} = Snakepit.execute("os_pid", %{}, pool: pool, timeout: 60_000)
    assert next != program
    OsProcess.watch(next)
    :ok = stop_supervised({Snakepit.Pool, pool})
    OsProcess.await_ends([next])
  end

  test "a foreign worker ends with the VM, although it knows nothing of it" do
    vm = OtherVM.start_reporting([adapter: SeedAdapter] ++ @patience, "os_pid")
    [program] = OtherVM.await(vm, "os_pid")
    program = OsProcess.watch(String.to_integer(program))
    OtherVM.signal(vm, "KILL")
    OsProcess.await_ends([program])
  end

  test "a range of ports is the pool's own" do
    base = Snakepit.Worker.Address.free_port()
    options = [adapter: SeedAdapter, base_port: base, port_range: 10]
    pool = start_pool(options ++ @patience)
    {:ok, %{"argv" => ["--port", port]}} = Snakepit.execute("os_pid", %{}, pool: pool)
    assert String.to_integer(port) in base..(base + 9)
  end

  test "an adapter may connect and call by itself" do
    pool = start_pool([adapter: CallingAdapter] ++ @patience)
    [%{address: "http://127.0.0.1:" <> port, pid: pid}] = Snakepit.list_workers(pool)
    port = String.to_integer(port)

    assert {:ok, %{"sum" => 3, "by" => "the adapter", "port" => ^port}} =
             Snakepit.execute("compute", %{a: 1, b: 2}, pool: pool)

    test = self()
    callback = &send(test, {:chunk, &1})
    assert :ok = Snakepit.execute_stream("ping_stream", %{count: 1}, callback, pool: pool)
    assert_receive {:chunk, %{"n" => 0, "by" => "the adapter"}}

    # Where there is no other place for it, the session is an argument.
    assert {:ok, %{"__session_id__" => "s"}} =
             Snakepit.execute_in_session("s", "echo", %{}, pool: pool)

    # What it leaves out is done for it.
    assert [%{"n" => 0}, _final] =
             "ping_stream" |> Snakepit.stream!(%{count: 1}, pool: pool) |> Enum.to_list()

    assert {:ok, %{"healthy" => true}} = GRPCWorker.get_health(pid)
  end

  test "the adapter itself can be used without a pool" do
    pool = start_pool([adapter: SeedAdapter] ++ @patience)
    [%{address: "http://127.0.0.1:" <> port}] = Snakepit.list_workers(pool)
    adapter = Snakepit.Adapters.GRPCPython
    {:ok, connection} = adapter.init_grpc_connection(String.to_integer(port))
    assert {:ok, %{"status" => "ok"}} = adapter.grpc_execute(connection, "ping", %{})
    assert :ok = adapter.grpc_execute_stream(connection, "ping_stream", %{count: 1}, & &1)
  end
end
