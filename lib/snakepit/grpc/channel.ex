defmodule Snakepit.GRPC.Channel do
  @moduledoc """
  A connection to one worker, or to any other peer that serves the protocol.

  The struct owns the connection; every call on it multiplexes over HTTP/2.
  """

  alias Snakepit.Error
  alias Snakepit.GRPC.Native

  @enforce_keys [:native, :target, :codec, :worker_id]
  defstruct [:native, :target, :codec, :worker_id]

  @type t :: %__MODULE__{
          native: reference(),
          target: String.t(),
          codec: :msgpack | :raw,
          worker_id: String.t()
        }

  @doc false
  @spec open(String.t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def open(target, options) do
    worker_id = Keyword.get(options, :worker_id, target)

    settings = %{
      token: options[:token],
      max_message_size: Keyword.get(options, :max_message_size, 268_435_456),
      connect_timeout: Keyword.get(options, :connect_timeout, 10_000),
      worker_id: worker_id
    }

    with :ok <- Native.loaded(),
         {:ok, native} <- Native.channel_open(target, settings) do
      {:ok, %__MODULE__{native: native, target: target, codec: :raw, worker_id: worker_id}}
    else
      {:error, %Error{} = error} ->
        {:error, error}

      {:error, text} ->
        {:error,
         %Error{
           kind: :protocol,
           message: "#{target} is not a usable address: #{text}",
           worker_id: worker_id
         }}
    end
  end

  @doc false
  @spec close(t()) :: :ok
  def close(%__MODULE__{native: native}), do: Native.channel_close(native)

  @doc """
  Asks the peer for its health, and waits for the answer.
  """
  @spec health(t(), pos_integer()) :: {:ok, map()} | {:error, Error.reason()}
  def health(%__MODULE__{native: native}, timeout) do
    ref = make_ref()
    :ok = Native.health(native, ref, timeout)

    receive do
      {^ref, answer} -> answer
    end
  end

  @doc false
  # What both sides can speak is known only when the peer has described itself.
  @spec negotiate(t(), map()) :: t()
  def negotiate(%__MODULE__{native: native} = channel, health) do
    if health["lane"], do: Native.channel_lane(native)
    if health["credit"], do: Native.channel_credit(native)
    %{channel | codec: if("msgpack" in List.wrap(health["codecs"]), do: :msgpack, else: :raw)}
  end

  defimpl Inspect do
    def inspect(channel, _opts), do: "#Snakepit.GRPC.Channel<#{channel.target}>"
  end
end
