defmodule Snakepit.Adapters.GRPCPython do
  @moduledoc """
  Python workers that speak gRPC: the default adapter.

  The interpreter is, in this order, the pool's `python: [executable: ...]`, the environment
  variable `SNAKEPIT_PYTHON`, and `.venv/bin/python` of the current project, which
  `mix snakepit.setup` makes.

  With `transport: :grpcio` the workers run the portable server, on `grpc.aio`.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.{Adapter, Error, GRPC}
  alias Snakepit.Adapters.Bridge
  alias Snakepit.Worker.Address

  @impl true
  defdelegate executable_path, to: Bridge

  @impl true
  defdelegate script_path, to: Bridge

  @impl true
  def script_args, do: []

  @impl true
  def worker_args(%{config: config} = worker), do: Bridge.args(worker, config.transport)

  @impl true
  def uses_grpc?, do: true

  @impl true
  def supported_commands, do: :any

  @impl true
  def transports, do: [:native, :grpcio]

  @doc """
  A port that is free, for `python priv/python/grpc_bridge.py --port N` by hand. The workers of
  a pool listen on unix sockets, or in the range of `:base_port`.
  """
  @impl true
  @spec get_port() :: :inet.port_number()
  defdelegate get_port, to: Address, as: :free_port

  @doc """
  Connects to a worker that listens on a port of this machine.
  """
  @impl true
  @spec init_grpc_connection(:inet.port_number()) ::
          {:ok, %{channel: GRPC.Channel.t(), port: :inet.port_number()}}
          | {:error, Error.reason()}
  def init_grpc_connection(port) do
    with {:ok, channel} <- GRPC.Client.connect("127.0.0.1", port) do
      {:ok, %{channel: channel, port: port}}
    end
  end

  @doc """
  Runs a command on such a connection.
  """
  @impl true
  @spec grpc_execute(Adapter.connection(), String.t(), map(), timeout()) ::
          {:ok, map()} | {:error, Error.reason()}
  def grpc_execute(connection, command, args, timeout \\ 30_000),
    do: GRPC.Client.execute(connection.channel, command, args, timeout)

  @doc """
  Runs a streaming command on such a connection.
  """
  @impl true
  @spec grpc_execute_stream(
          Adapter.connection(),
          String.t(),
          map(),
          (map() -> term()),
          timeout()
        ) :: :ok | {:error, Error.reason()}
  def grpc_execute_stream(connection, command, args, callback, timeout \\ 300_000),
    do: GRPC.Client.execute_stream(connection.channel, command, args, callback, timeout)
end
