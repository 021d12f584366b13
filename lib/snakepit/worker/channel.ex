defmodule Snakepit.Worker.Channel do
  @moduledoc false
  # What can be done with the channel of a worker, whatever its adapter speaks.

  alias Snakepit.{Error, GRPC, Request, Stdio}
  alias Snakepit.Adapter.Connection

  @type t :: GRPC.Channel.t() | Stdio.Channel.t() | Connection.t()

  @spec execute(t(), Request.t()) :: {:ok, map()} | {:error, Error.reason()}
  def execute(%GRPC.Channel{} = channel, request), do: GRPC.Call.run(channel, request)
  def execute(%Stdio.Channel{} = channel, request), do: Stdio.Call.run(channel, request)
  def execute(%Connection{} = channel, request), do: Connection.execute(channel, request)

  @spec stream(t(), Request.t(), (map() -> term())) :: :ok | {:error, Error.reason()}
  def stream(%GRPC.Channel{} = channel, request, callback),
    do: GRPC.StreamCall.run(channel, request, callback)

  def stream(%Connection{} = channel, request, callback),
    do: Connection.stream(channel, request, callback)

  @doc """
  The channel for streams of the other kinds.
  """
  @spec grpc(t()) :: GRPC.Channel.t()
  def grpc(%GRPC.Channel{} = channel), do: channel
  def grpc(%Connection{channel: channel}), do: channel

  @spec health(t(), pos_integer()) :: {:ok, map()} | {:error, Error.reason()}
  def health(%Stdio.Channel{} = channel, timeout), do: Stdio.Channel.health(channel, timeout)
  def health(channel, timeout), do: channel |> grpc() |> GRPC.Channel.health(timeout)

  @doc """
  Has the answer sent to the calling process, as `{ref, answer}`.
  """
  @spec ask_health(t(), reference(), pos_integer()) :: :ok
  def ask_health(%Stdio.Channel{} = channel, ref, timeout) do
    asking = self()
    # Waiting for it is all that this one does.
    spawn(fn -> send(asking, {ref, Stdio.Channel.health(channel, timeout)}) end)
    :ok
  end

  def ask_health(channel, ref, timeout),
    do: GRPC.Native.health(grpc(channel).native, ref, timeout)

  @doc """
  Has a stream ended with the connection, and the worker not answered since? Who reads a stream as
  messages may know before the pool.
  """
  @spec lost?(t()) :: boolean()
  def lost?(%GRPC.Channel{native: native}), do: GRPC.Native.channel_lost(native)
  def lost?(_tells_at_once), do: false

  @doc """
  Ends every call, and takes no more.
  """
  @spec close(t()) :: :ok
  def close(%Stdio.Channel{} = channel), do: Stdio.Owner.close_calls(channel)
  def close(channel), do: channel |> grpc() |> GRPC.Channel.close()
end
