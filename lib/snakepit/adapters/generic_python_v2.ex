defmodule Snakepit.Adapters.GenericPythonV2 do
  @moduledoc """
  Python workers that speak JSON through pipes: the oldest adapter, and the one that needs least. It
  works without the native library and without a native part of `snakepit_bridge`.

  It cannot stream (`:streaming_not_supported`). Values travel as JSON has them: keys of maps
  become strings, also numbers. The interpreter is found as by `Snakepit.Adapters.GRPCPython`.
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
  def worker_args(worker), do: Bridge.args(worker, :stdio_json)

  @impl true
  def uses_grpc?, do: false

  @impl true
  def codec, do: :json

  @impl true
  def supported_commands, do: :any
end
