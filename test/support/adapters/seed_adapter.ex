defmodule Snakepit.Test.SeedAdapter do
  @moduledoc """
  An adapter as an application would write it, for a foreign program that serves gRPC.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Test.PipeAdapter

  @impl true
  defdelegate executable_path, to: PipeAdapter

  @impl true
  def grpc_script_path, do: Path.expand("test/support/programs/seed_server.py")

  @impl true
  def uses_grpc?, do: true
end

defmodule Snakepit.Test.CallingAdapter do
  @moduledoc """
  One that chooses its port, connects and calls by itself.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Adapters.GRPCPython
  alias Snakepit.Test.{PipeAdapter, SeedAdapter}

  @impl true
  defdelegate executable_path, to: PipeAdapter

  @impl true
  defdelegate script_path, to: SeedAdapter, as: :grpc_script_path

  @impl true
  def uses_grpc?, do: true

  @impl true
  defdelegate get_port, to: GRPCPython

  @impl true
  def init_grpc_connection(port) do
    with {:ok, connection} <- GRPCPython.init_grpc_connection(port),
         do: {:ok, Map.put(connection, :mine, true)}
  end

  @impl true
  def grpc_execute(%{mine: true} = connection, command, args, timeout) do
    with {:ok, result} <- GRPCPython.grpc_execute(connection, command, args, timeout),
         do: {:ok, Map.merge(result, %{"by" => "the adapter", "port" => connection.port})}
  end

  @impl true
  def grpc_execute_stream(%{mine: true} = connection, command, args, callback, timeout) do
    callback = &callback.(Map.put(&1, "by", "the adapter"))
    GRPCPython.grpc_execute_stream(connection, command, args, callback, timeout)
  end
end
