defmodule Snakepit.GRPC.LazyStream do
  @moduledoc false
  # A server stream as an enumerable. It is bound to the process that consumes it, like
  # every other call.

  alias Snakepit.{Error, Pool, Request}
  alias Snakepit.GRPC.StreamCall
  alias Snakepit.Pool.{Calls, Lease, Streams}
  alias Snakepit.Worker.Channel

  @spec new(term(), term(), Snakepit.opts()) :: Enumerable.t()
  def new(command, args, opts) do
    # Wrong options are a mistake of the one who makes the stream, not of the one who reads it.
    request = ok!(Request.new(command, args, opts))

    Stream.resource(
      fn -> open(%{request | started_at: Request.now()}) end,
      &next/1,
      &close/1
    )
  end

  defp open(request) do
    with {:ok, pool} <- Pool.fetch_or_start(request.pool),
         {:ok, lease, span, stream} <-
           Calls.open_stream(pool, request, &StreamCall.open(Channel.grpc(&1.channel), &2)) do
      %{request: request, lease: lease, span: span, stream: stream, rest: [], given: 0, held: nil}
    else
      {:error, reason} -> raise Error.about(Error.exception(reason), request, nil)
    end
  end

  # At most half a window is given at a time, so that it can be acknowledged and
  # more be produced while the other half is consumed.
  defp next(%{rest: [_ | _]} = state) do
    stream = StreamCall.consumed(state.stream, state.given)
    if StreamCall.expired?(stream), do: fail(state, :worker_timeout)

    {chunks, rest} = Enum.split(state.rest, stream.half)
    {chunks, %{state | stream: stream, rest: rest, given: length(chunks)}}
  end

  defp next(%{rest: [], held: nil} = state) do
    case state.stream |> StreamCall.consumed(state.given) |> StreamCall.next() do
      {:chunks, chunks, stream} ->
        {rest, held} = hold_back(chunks)
        next_or_wait(%{state | stream: stream, given: 0, rest: rest, held: held})

      :done ->
        {:halt, state}

      {:error, reason} ->
        fail(state, reason)
    end
  end

  defp next(%{rest: [], held: :given} = state), do: {:halt, state}

  # The chunk that may be the announcement of an error: if it is, the error itself follows and
  # says more.
  defp next(%{rest: [], held: chunk} = state) do
    case StreamCall.next(state.stream) do
      :done -> {[chunk], %{state | held: :given}}
      {:error, reason} -> fail(state, reason)
    end
  end

  defp next_or_wait(%{rest: []} = state), do: {[], state}
  defp next_or_wait(state), do: next(state)

  defp hold_back(chunks) do
    case Enum.split(chunks, -1) do
      {before, [%{"error" => _, "is_final" => true} = last]} -> {before, last}
      {_before, _last} -> {chunks, nil}
    end
  end

  @spec fail(map(), Error.reason()) :: no_return()
  defp fail(%{lease: lease, span: span, request: request}, reason) do
    Lease.note({:error, reason}, lease)
    Streams.finish(span, {:returned, {:error, reason}})
    raise Error.about(Error.exception(reason), request, lease.channel.worker_id)
  end

  defp close(%{lease: lease, span: span, stream: stream}) do
    StreamCall.close(stream)
    # Unless it has failed.
    Streams.finish(span, {:returned, :ok})
    Lease.release(lease)
  end

  defp ok!({:ok, value}), do: value
  defp ok!({:error, reason}), do: raise(Error, reason)
end
