defmodule Snakepit.GRPC.Client do
  @moduledoc """
  A client for one peer that serves Snakepit's protocol, without a pool.

      {:ok, channel} = Snakepit.GRPC.Client.connect("127.0.0.1", 50051)
      {:ok, result} = Snakepit.GRPC.Client.execute(channel, "ping", %{})

  A peer that announces MessagePack gets it. Any other gets the rule of `encode_args/1` and
  `decode_result/1`: a binary is sent as it is and everything else as JSON, and what
  comes back is decoded if it is JSON.
  """

  alias Snakepit.{Error, Request}
  alias Snakepit.GRPC.{Call, Channel, JSONCodec, StreamCall}

  @connect_timeout 10_000

  @doc """
  Connects and asks the peer what it can do.
  """
  @spec connect(String.t(), :inet.port_number() | String.t()) ::
          {:ok, Channel.t()} | {:error, Error.reason()}
  def connect(host, port) do
    with {:ok, channel} <- Channel.open("http://#{host}:#{port}", []),
         {:ok, health} <- Channel.health(channel, @connect_timeout) do
      {:ok, Channel.negotiate(channel, health)}
    end
  end

  @doc """
  Runs a command. `opts` is a timeout or the options of `Snakepit.execute/3`.
  """
  @spec execute(Channel.t(), String.t(), map(), Snakepit.opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute(%Channel{} = channel, command, args, opts \\ []) do
    case request(command, args, opts, 30_000) do
      {:ok, %{timeout: 0}} -> {:error, :worker_timeout}
      {:ok, request} -> Call.run(channel, request)
      {:error, error} -> {:error, error}
    end
  end

  @doc """
  Runs a streaming command and calls `callback` with every chunk, in this process.
  """
  @spec execute_stream(Channel.t(), String.t(), map(), (map() -> term()), Snakepit.opts()) ::
          :ok | {:error, Error.reason()}
  def execute_stream(%Channel{} = channel, command, args, callback, opts \\ [])
      when is_function(callback, 1) do
    case request(command, args, opts, 300_000) do
      {:ok, %{timeout: 0}} -> {:error, :worker_timeout}
      {:ok, request} -> StreamCall.run(channel, request, callback)
      {:error, error} -> {:error, error}
    end
  end

  @doc """
  Arguments as a peer without MessagePack gets them.

      iex> Snakepit.GRPC.Client.encode_args(%{a: 1, b: "test", c: [1, 2]})
      %{"a" => "1", "b" => "test", "c" => "[1,2]"}
  """
  @spec encode_args(map()) :: %{String.t() => binary()}
  def encode_args(args) when is_map(args) do
    case JSONCodec.encode(args) do
      {:ok, encoded} -> encoded
      {:error, error} -> raise error
    end
  end

  @doc """
  A result of such a peer.

      iex> Snakepit.GRPC.Client.decode_result(%{"n" => "1", "text" => "one"})
      %{"n" => 1, "text" => "one"}
  """
  @spec decode_result(%{String.t() => binary()}) :: %{String.t() => term()}
  def decode_result(result) when is_map(result), do: JSONCodec.decode(result)

  defp request(command, args, opts, default) do
    with {:ok, request} <- Request.new(command, args, opts),
         do: {:ok, %{request | timeout: request.timeout || default}}
  end
end
