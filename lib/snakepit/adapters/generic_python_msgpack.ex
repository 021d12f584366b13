defmodule Snakepit.Adapters.GenericPythonMsgpack do
  @moduledoc """
  Python workers that speak MessagePack through pipes: exactly the values of gRPC workers, and
  binaries without Base64.

  It cannot stream (`:streaming_not_supported`). The interpreter is found as by
  `Snakepit.Adapters.GRPCPython`.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Adapters.Bridge

  @impl true
  defdelegate executable_path, to: Bridge

  @impl true
  defdelegate script_path, to: Bridge

  @impl true
  def script_args, do: []

  @impl true
  def worker_args(worker), do: Bridge.args(worker, :stdio_msgpack)

  @impl true
  def uses_grpc?, do: false

  @impl true
  def codec, do: :msgpack

  @impl true
  def supported_commands, do: :any
end
