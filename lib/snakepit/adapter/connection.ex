defmodule Snakepit.Adapter.Connection do
  @moduledoc false
  # The channel of a worker whose adapter makes its calls itself. Beside the connection of the
  # adapter there is one of ours, for health checks and for what the adapter leaves out.

  alias Snakepit.{Adapter, Error, GRPC, Request}
  alias Snakepit.Pool.Streams

  @enforce_keys [:adapter, :connection, :channel, :target, :worker_id]
  defstruct [:adapter, :connection, :channel, :target, :worker_id]

  @type t :: %__MODULE__{
          adapter: module(),
          connection: Adapter.connection(),
          channel: GRPC.Channel.t(),
          target: String.t(),
          worker_id: String.t()
        }

  @doc """
  Lets an adapter connect by itself, if it can.
  """
  @spec open(module(), GRPC.Channel.t(), :inet.port_number()) ::
          {:ok, t() | GRPC.Channel.t()} | {:error, term()}
  def open(adapter, channel, port) do
    if Adapter.exports?(adapter, :init_grpc_connection, 1) do
      with {:ok, connection} <- adapter.init_grpc_connection(port) do
        {:ok,
         %__MODULE__{
           adapter: adapter,
           connection: connection,
           channel: channel,
           target: channel.target,
           worker_id: channel.worker_id
         }}
      end
    else
      {:ok, channel}
    end
  end

  @spec execute(t(), Request.t()) :: {:ok, map()} | {:error, Error.reason()}
  def execute(%__MODULE__{adapter: adapter} = connection, request) do
    if Adapter.exports?(adapter, :grpc_execute, 4) do
      args = args(request)
      adapter.grpc_execute(connection.connection, request.command, args, remaining(request))
    else
      GRPC.Call.run(connection.channel, request)
    end
  end

  @spec stream(t(), Request.t(), (map() -> term())) :: :ok | {:error, Error.reason()}
  def stream(%__MODULE__{adapter: adapter} = connection, request, callback) do
    if Adapter.exports?(adapter, :grpc_execute_stream, 5) do
      adapter.grpc_execute_stream(
        connection.connection,
        request.command,
        args(request),
        counted(callback, request.span),
        remaining(request)
      )
    else
      GRPC.StreamCall.run(connection.channel, request, callback)
    end
  end

  defp counted(callback, nil), do: callback

  defp counted(callback, span) do
    fn chunk ->
      Streams.count_chunk(span)
      callback.(chunk)
    end
  end

  # There is no other place for the session in these callbacks.
  defp args(%{session_id: nil, args: args}), do: args
  defp args(%{session_id: id, args: args}), do: Map.put(args, :__session_id__, id)

  defp remaining(request), do: Request.remaining(request)
end
