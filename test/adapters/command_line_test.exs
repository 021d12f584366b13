defmodule Snakepit.Adapters.CommandLineTest do
  use ExUnit.Case, async: true

  alias Snakepit.Adapters.{GenericPythonMsgpack, GenericPythonV2, GRPCPython}
  alias Snakepit.{Config, Error}
  alias Snakepit.Test.{PackedPipeAdapter, SeedAdapter}
  alias Snakepit.Worker.CommandLine

  defmodule Delegating do
    @behaviour Snakepit.Adapter

    @impl true
    def executable_path, do: "/bin/echo"

    @impl true
    defdelegate script_path, to: GRPCPython

    @impl true
    def script_args, do: ["first"]

    @impl true
    defdelegate worker_args(worker), to: GRPCPython

    @impl true
    def uses_grpc?, do: true
  end

  defmodule Nothing do
    @behaviour Snakepit.Adapter

    @impl true
    def executable_path, do: System.find_executable("there is no such program")
  end

  @socket {:unix, "/tmp/x.sock"}
  @tcp {:tcp, 50_051, "secret"}

  defp build(options, address, output \\ nil),
    do: options |> Config.new!() |> CommandLine.build("w-1", address, output)

  test "our own gRPC worker" do
    python = [path: ["lib"], modules: ["a"], args: ["--more"], env: [A: "1"]]
    assert {:ok, command} = build([adapter: GRPCPython, python: python], @socket)
    assert [script, "--socket", "/tmp/x.sock", "--worker-id", "w-1" | args] = command.args
    assert Path.basename(script) == "grpc_bridge.py"
    assert Enum.take(args, -5) == ["--path", Path.expand("lib"), "--module", "a", "--more"]
    assert %{"A" => "1", "PYTHONUNBUFFERED" => "1"} = command.env
    refute "--transport" in args

    assert {:ok, command} = build([adapter: GRPCPython, transport: :grpcio], @tcp)
    assert ["--transport", "grpcio", "--port", "50051" | _] = tl(command.args)
    refute Enum.any?(command.args, &(&1 =~ "secret"))
    assert %{"SNAKEPIT_TOKEN" => "secret"} = command.env
  end

  test "our own workers through pipes" do
    for {adapter, transport} <- [
          {GenericPythonV2, "stdio-json"},
          {GenericPythonMsgpack, "stdio-msgpack"}
        ] do
      assert {:ok, command} = build([adapter: adapter], nil, "/tmp/out.sock")
      assert ["--transport", ^transport, "--worker-id", "w-1" | _] = tl(command.args)
      assert %{"SNAKEPIT_OUTPUT" => "/tmp/out.sock"} = command.env
    end
  end

  test "another start of our own worker" do
    assert {:ok, %{executable: "/bin/echo", args: args}} = build([adapter: Delegating], @socket)
    assert [_script, "first", "--socket", "/tmp/x.sock" | _] = args
  end

  test "programs of another kind, under guard" do
    python = [args: ["--more"], threads: 2]
    assert {:ok, command} = build([adapter: SeedAdapter, python: python], @tcp)
    assert %{executable: "/bin/sh", args: ["-c", _guard, _name, python | args]} = command
    assert python == SeedAdapter.executable_path()
    assert [_script, "--port", "50051", "--more"] = args
    assert %{"OMP_NUM_THREADS" => "2"} = command.env

    assert {:ok, command} = build([adapter: PackedPipeAdapter], nil)

    assert %{executable: "/bin/sh", args: ["-c", _guard, _name, _python, _script, "msgpack"]} =
             command

    refute is_map_key(command.env, "SNAKEPIT_OUTPUT")
  end

  test "an adapter without a program" do
    assert {:error, %Error{kind: :worker_crashed, message: message}} =
             build([adapter: Nothing], nil)

    assert message =~ "Nothing.executable_path/0 gives no program"
  end
end
