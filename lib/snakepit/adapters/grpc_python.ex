defmodule Snakepit.Adapters.GRPCPython do
  @moduledoc """
  Python workers that speak gRPC: the default adapter.

  The interpreter is, in this order, the pool's `python: [executable: ...]`, the environment
  variable `SNAKEPIT_PYTHON`, and `.venv/bin/python` of the current project, which
  `mix snakepit.setup` makes.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.{Error, GRPC}

  @impl true
  def executable_path do
    from_environment() || from_project() || raise missing()
  end

  @impl true
  def script_path, do: Application.app_dir(:snakepit, "priv/python/grpc_bridge.py")

  @impl true
  def script_args, do: []

  @impl true
  def uses_grpc?, do: true

  @impl true
  def supported_commands, do: :any

  @doc """
  Connects to a worker that listens on a port of this machine.
  """
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
  @spec grpc_execute(%{channel: GRPC.Channel.t()}, String.t(), map(), timeout()) ::
          {:ok, map()} | {:error, Error.reason()}
  def grpc_execute(connection, command, args, timeout \\ 30_000),
    do: GRPC.Client.execute(connection.channel, command, args, timeout)

  @doc """
  Runs a streaming command on such a connection.
  """
  @spec grpc_execute_stream(
          %{channel: GRPC.Channel.t()},
          String.t(),
          map(),
          (map() -> term()),
          timeout()
        ) :: :ok | {:error, Error.reason()}
  def grpc_execute_stream(connection, command, args, callback, timeout \\ 300_000),
    do: GRPC.Client.execute_stream(connection.channel, command, args, callback, timeout)

  defp from_environment do
    with name when name not in [nil, ""] <- System.get_env("SNAKEPIT_PYTHON") do
      System.find_executable(name) || raise(not_found(name))
    else
      _unset -> nil
    end
  end

  defp from_project do
    path = Path.expand(".venv/bin/python")
    if File.exists?(path), do: path
  end

  defp not_found(name) do
    Error.exception(
      kind: :worker_crashed,
      message: "SNAKEPIT_PYTHON names #{inspect(name)}, and there is no such program."
    )
  end

  defp missing do
    Error.exception(
      kind: :worker_crashed,
      message:
        "No Python for the workers: there is no #{Path.expand(".venv/bin/python")}. Run " <>
          "`mix snakepit.setup` to make it, or name an interpreter with SNAKEPIT_PYTHON or " <>
          "the pool option python: [executable: path]."
    )
  end
end
