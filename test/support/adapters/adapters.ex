defmodule Snakepit.Test.Adapters do
  @moduledoc """
  Every way in which Snakepit runs a worker of its own, for tests that hold for all of them:

      for adapter <- Snakepit.Test.Adapters.all() do
        describe adapter.name do
          @options adapter.options
          test "...", do: start_pool(@options)
        end
      end
  """

  alias Snakepit.Adapters.{GenericPythonMsgpack, GenericPythonV2, GRPCJavaScript, GRPCPython}

  @adapters [
    %{
      name: "native",
      options: [adapter: GRPCPython],
      transport: "native",
      codec: :msgpack,
      streams: true
    },
    %{
      name: "grpcio",
      options: [adapter: GRPCPython, transport: :grpcio],
      transport: "grpcio",
      codec: :msgpack,
      streams: true
    },
    %{
      name: "JSON through pipes",
      options: [adapter: GenericPythonV2],
      transport: "stdio-json",
      codec: :json,
      streams: false
    },
    %{
      name: "MessagePack through pipes",
      options: [adapter: GenericPythonMsgpack],
      transport: "stdio-msgpack",
      codec: :msgpack,
      streams: false
    },
    %{
      name: "JavaScript",
      options: [adapter: GRPCJavaScript],
      transport: "javascript",
      codec: :msgpack,
      streams: true,
      language: :javascript,
      tags: [:javascript]
    }
  ]

  def all, do: @adapters

  @doc """
  Those that are spoken to through pipes.
  """
  def pipes, do: Enum.reject(@adapters, & &1.streams)
end
