defmodule Snakepit.Adapter do
  @moduledoc """
  Which program a worker runs, and how it is spoken to.

  `Snakepit.Adapters.GRPCPython` is the adapter of every pool that names no other. Write one of your
  own to start a different program that serves the same protocol.
  """

  @doc """
  The absolute path of the program. Raises `Snakepit.Error` when there is none.
  """
  @callback executable_path() :: Path.t()

  @doc """
  The script the program is given as its first argument.
  """
  @callback script_path() :: Path.t()

  @doc """
  Further arguments, after the script and before those of the worker.
  """
  @callback script_args() :: [String.t()]

  @doc """
  Does the program serve gRPC? Only then can it stream.
  """
  @callback uses_grpc?() :: boolean()

  @doc """
  The commands the program is known to have, or `:any` when only the running program knows.
  """
  @callback supported_commands() :: :any | [String.t()]

  @optional_callbacks supported_commands: 0

  @doc """
  Does the adapter serve gRPC?
  """
  @spec grpc?(module()) :: boolean()
  def grpc?(adapter) do
    Code.ensure_loaded?(adapter) and function_exported?(adapter, :uses_grpc?, 0) and
      adapter.uses_grpc?()
  end
end
