defmodule Snakepit.GRPC.Call do
  @moduledoc false
  # One unary call: hand it to the native client, wait for its one answer.

  alias Snakepit.{Error, Mailbox, Request}
  alias Snakepit.GRPC.{Channel, JSONCodec, Native}

  @spec run(Channel.t(), Request.t()) :: {:ok, map()} | {:error, Error.reason()}
  def run(%Channel{native: native, codec: codec}, %Request{} = request) do
    timeout = Request.remaining(request)

    with {:ok, args} <- encode(codec, request.args) do
      ref = make_ref()
      call = native_request(request, args, timeout, codec)

      native |> start(ref, call) |> answer(ref, timeout) |> decode(codec)
    end
  end

  @doc """
  The request as the native client takes it.
  """
  @spec native_request(Request.t(), map(), timeout(), Native.codec()) :: Native.request()
  def native_request(request, args, timeout, codec) do
    {request.command, request.session_id, args, wire_timeout(timeout), request.request_id,
     request.metadata, codec}
  end

  @doc """
  On the wire, zero means none.
  """
  @spec wire_timeout(timeout()) :: non_neg_integer()
  def wire_timeout(:infinity), do: 0
  def wire_timeout(timeout), do: max(timeout, 1)

  @doc """
  Arguments for a codec: the native client itself encodes MessagePack.
  """
  @spec encode(Native.codec(), map()) :: {:ok, map()} | {:error, Error.t()}
  def encode(:msgpack, args), do: {:ok, args}
  def encode(:raw, args), do: JSONCodec.encode(args)

  defp start(native, ref, call) do
    with :yield <- Native.call(native, ref, call), do: Native.call_large(native, ref, call)
  end

  defp answer({result, _map_or_reason} = answer, _ref, _timeout) when result in [:ok, :error],
    do: answer

  # The answer comes onto the heap of this process, when it wants it. Until then the handle must
  # live: without it the call is cancelled.
  defp answer(handle, ref, timeout) do
    receive do
      {^ref, :ready} -> with(:yield <- Native.answer(handle), do: Native.answer_large(handle))
    after
      timeout ->
        :ok = Native.cancel(handle)
        # Nothing more is sent, so what is here is all there is.
        Mailbox.flush(ref)
        {:error, :worker_timeout}
    end
  end

  defp decode({:ok, result}, :raw), do: {:ok, JSONCodec.decode(result)}
  defp decode(answer, _codec), do: answer
end
