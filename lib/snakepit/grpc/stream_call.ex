defmodule Snakepit.GRPC.StreamCall do
  @moduledoc false
  # One server stream, consumed in the process that started it. The native client sends no
  # more than a window of chunks ahead of what was acknowledged here.

  alias Snakepit.{Error, Mailbox, Request, Telemetry}
  alias Snakepit.GRPC.{Call, Channel, JSONCodec, Native}
  alias Snakepit.Pool.Streams

  @enforce_keys [:ref, :handle, :codec, :span, :deadline, :half, :half_bytes]
  # `seen` chunks and `bytes` were consumed since the last acknowledgement; `batch` bytes are
  # being consumed, and `garbage` of them are still to be cleared away. `more` chunks wait in the
  # native client, which says nothing of them until they have been taken.
  defstruct [
    :ref,
    :handle,
    :codec,
    :span,
    :deadline,
    :half,
    :half_bytes,
    seen: 0,
    bytes: 0,
    batch: 0,
    garbage: 0,
    more: false
  ]

  @type t :: %__MODULE__{}

  # Consumed chunks are garbage outside the heap, of which the VM may let tens of megabytes lie
  # about before it collects. So it is told to, where that takes microseconds: in a process
  # whose own heap is of so many words at most.
  @much_garbage 1024 * 1024
  @small_heap 64 * 1024

  @doc """
  Calls `callback` with every chunk until the stream ends or the callback says `:halt`.
  However this function is left, the stream is over and no message of it is left.
  """
  @spec run(Channel.t(), Request.t(), (map() -> term())) :: :ok | {:error, Error.reason()}
  def run(channel, request, callback) do
    # Made here and handed down, so that the VM skips what was in the mailbox before.
    ref = make_ref()

    with {:ok, stream} <- open(channel, ref, request, :server, :batch) do
      try do
        consume_all(ref, stream, callback)
      after
        close(stream)
      end
    end
  end

  @doc """
  Starts a stream whose chunks are read with `next/1`, or whose one result is a message.
  """
  @spec open(Channel.t(), Request.t(), Native.shape(), :batch | :result) ::
          {:ok, t()} | {:error, Error.reason()}
  def open(channel, request, shape \\ :server, mode \\ :batch),
    do: open(channel, make_ref(), request, shape, mode)

  defp open(channel, ref, request, shape, mode) do
    with {:ok, handle} <- start(channel, ref, request, shape, mode, nil) do
      {:ok,
       %__MODULE__{
         ref: ref,
         handle: handle,
         codec: channel.codec,
         span: request.span,
         deadline: Request.deadline(request),
         half: max(div(request.window, 2), 1),
         half_bytes: div(request.max_buffer, 2)
       }}
    end
  end

  @doc """
  Starts a stream whose chunks come as messages of their own. `when_over` is sent to the
  given process when the stream has ended in whatever way.
  """
  @spec start_each(Channel.t(), reference(), Request.t(), {pid(), term()}) ::
          {:ok, Native.handle()} | {:error, Error.reason()}
  def start_each(channel, ref, request, when_over),
    do: start(channel, ref, request, :server, :each, when_over)

  @doc """
  The next chunks, in order; `:done` and errors come when all chunks before them were given.
  """
  @spec next(t()) ::
          {:chunks, [map()], t()} | :done | {:error, Error.reason()} | {:input, term()}
  def next(%__MODULE__{ref: ref} = stream), do: next(ref, stream)

  # Whatever else is told waits behind the chunks before it, except how the input goes.
  defp next(ref, %{more: true} = stream) do
    stream = batch_consumed(stream)

    receive do
      {^ref, {:input, _outcome} = message} -> received(stream, message)
      {^ref, _monitor, :process, _feeder, reason} -> received(stream, {:feeder_down, reason})
    after
      0 -> take(stream)
    end
  end

  defp next(ref, stream) do
    stream = batch_consumed(stream)

    # Chunks that wait already need no acknowledgement yet; before sleeping everything
    # is acknowledged, as the window may be full by bytes long before it is by count.
    receive do
      {^ref, message} -> received(stream, message)
      {^ref, _monitor, :process, _feeder, reason} -> received(stream, {:feeder_down, reason})
    after
      0 ->
        stream = ack(stream)

        receive do
          {^ref, message} -> received(stream, message)
          {^ref, _monitor, :process, _feeder, reason} -> received(stream, {:feeder_down, reason})
        end
    end
  end

  @doc """
  Notes that `count` chunks were consumed, and tells the other side at half a window.
  """
  @spec consumed(t(), non_neg_integer()) :: t()
  def consumed(%__MODULE__{seen: seen, half: half} = stream, count) do
    stream = %{stream | seen: seen + count}
    if stream.seen >= half, do: ack(stream), else: stream
  end

  @doc """
  Ends the stream, finished or not, and removes its messages.
  """
  @spec close(t()) :: :ok
  def close(%__MODULE__{handle: handle, ref: ref}) do
    :ok = Native.cancel(handle)
    Mailbox.flush(ref)
  end

  @doc """
  Ends a stream from `start_each/4` and removes its messages.
  """
  @spec cancel_each(Snakepit.Stream.t()) :: :ok
  def cancel_each(%Snakepit.Stream{handle: handle, ref: ref}) do
    :ok = Native.cancel(handle)
    flush_each(ref)
  end

  @doc """
  The result of a stream that has one, as its codec gives it.
  """
  @spec decode_result({:ok, map()} | {:error, Error.reason()}, t()) ::
          {:ok, map()} | {:error, Error.reason()}
  def decode_result({:ok, result}, %__MODULE__{codec: :raw}), do: {:ok, JSONCodec.decode(result)}
  def decode_result(answer, _stream), do: answer

  @spec expired?(t()) :: boolean()
  def expired?(%__MODULE__{deadline: :infinity}), do: false
  def expired?(%__MODULE__{deadline: deadline}), do: Request.now() >= deadline

  defp start(%Channel{native: native, codec: codec}, ref, request, shape, mode, when_over) do
    timeout = Request.remaining(request)

    with {:ok, args} <- Call.encode(codec, request.args) do
      call = Call.native_request(request, args, timeout, codec)
      flow = flow(request, timeout, mode, when_over)

      case native_stream(native, ref, call, flow, shape) do
        {:error, reason} -> {:error, reason}
        handle -> {:ok, handle}
      end
    end
  end

  defp native_stream(native, ref, call, flow, shape) do
    with :yield <- Native.stream(native, ref, call, flow, shape),
         do: Native.stream_large(native, ref, call, flow, shape)
  end

  defp flow(request, timeout, mode, when_over) do
    {request.window, request.max_buffer, Call.wire_timeout(timeout),
     Call.wire_timeout(request.chunk_timeout), mode, when_over,
     request.span && request.span.gauge}
  end

  @doc """
  Calls `callback` with every chunk. `{:input, outcome}` when the input of the stream failed.
  """
  @spec consume(t(), (map() -> term())) :: :ok | {:error, Error.reason()} | {:input, term()}
  def consume(%__MODULE__{ref: ref} = stream, callback), do: consume_all(ref, stream, callback)

  defp consume_all(ref, stream, callback) do
    case next(ref, stream) do
      {:chunks, chunks, stream} -> consume_some(ref, chunks, stream, callback)
      :done -> :ok
      {ended, reason} -> {ended, reason}
    end
  end

  defp consume_some(ref, [], stream, callback), do: consume_all(ref, stream, callback)

  # It may be the answer to an input that failed. Of that we were told before Python was.
  defp consume_some(ref, [%{"error" => _, "is_final" => true} = last], stream, callback) do
    receive do
      {^ref, {:input, {:invalid, _error} = failure}} -> {:input, failure}
      {^ref, {:input, {:raised, _, _, _} = failure}} -> {:input, failure}
    after
      0 -> consume_one(ref, last, [], stream, callback)
    end
  end

  defp consume_some(ref, [chunk | rest], stream, callback),
    do: consume_one(ref, chunk, rest, stream, callback)

  defp consume_one(ref, chunk, rest, stream, callback) do
    cond do
      expired?(stream) -> {:error, :worker_timeout}
      callback.(chunk) == :halt -> :ok
      true -> consume_some(ref, rest, consumed(stream, 1), callback)
    end
  end

  defp received(stream, :ready), do: take(stream)

  defp received(_stream, :done), do: :done

  # Whether the input is complete or was not needed to its end, the answer is still to come.
  defp received(stream, {:input, outcome}) when outcome in [:complete, :over], do: next(stream)
  defp received(stream, {:input, {:answered, _over}}), do: next(stream)
  defp received(_stream, {:input, outcome}), do: {:input, outcome}

  # It said how the reading ended before.
  defp received(stream, {:feeder_down, :normal}), do: next(stream)

  # Something it was linked to has taken it along, and the caller traps exits.
  defp received(%{handle: handle}, {:feeder_down, reason}) do
    :ok = Native.abort_input(handle, "the reader of the input ended: " <> inspect(reason))
    {:input, {:raised, :exit, reason, []}}
  end

  defp received(_stream, {:error, reason}), do: {:error, reason}

  # They come onto the heap of this process, when it wants them.
  defp take(%{handle: handle} = stream) do
    case with(:yield <- Native.take(handle), do: Native.take_large(handle)) do
      {:error, reason} ->
        {:error, reason}

      {chunks, bytes, more} ->
        {:chunks, decode(stream, chunks), %{stream | batch: bytes, more: more}}
    end
  end

  defp decode(%{codec: :raw}, chunks), do: Enum.map(chunks, &JSONCodec.decode/1)
  defp decode(_stream, chunks), do: chunks

  defp ack(%{seen: 0} = stream), do: stream

  defp ack(%{handle: handle, seen: seen} = stream) do
    acknowledge(handle, seen, stream.span)
    %{stream | seen: 0, bytes: 0}
  end

  @doc """
  Grants credit for `count` more chunks.
  """
  @spec acknowledge(Native.handle(), pos_integer(), Streams.t() | nil) :: :ok
  def acknowledge(handle, count, span) do
    case Native.ack(handle, count) do
      us when us > 0 and span != nil -> Telemetry.stalled(span, us)
      _flowing -> :ok
    end
  end

  defp batch_consumed(%{batch: 0} = stream), do: stream

  defp batch_consumed(%{batch: batch} = stream) do
    stream = %{stream | batch: 0, bytes: stream.bytes + batch, garbage: stream.garbage + batch}
    stream = if stream.bytes >= stream.half_bytes, do: ack(stream), else: stream
    if stream.garbage >= @much_garbage, do: collect(stream), else: stream
  end

  defp collect(stream) do
    {:total_heap_size, words} = Process.info(self(), :total_heap_size)
    if words <= @small_heap, do: :erlang.garbage_collect()
    %{stream | garbage: 0}
  end

  defp flush_each(ref) do
    receive do
      {:snakepit, ^ref, _late} -> flush_each(ref)
    after
      0 -> :ok
    end
  end
end
