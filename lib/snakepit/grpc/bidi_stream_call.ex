defmodule Snakepit.GRPC.BidiStreamCall do
  @moduledoc false
  # Chunks in both directions, independently: the callback runs in the caller, and the
  # enumerable is read in a process of its own, as either may wait for what the other does.

  alias Snakepit.{Error, Feeder, Request}
  alias Snakepit.GRPC.{Channel, Input, StreamCall}

  @spec run(Channel.t(), Request.t(), Enumerable.t(), (map() -> term())) ::
          :ok | {:error, Error.reason()}
  def run(channel, request, enumerable, callback) do
    with {:ok, stream} <- StreamCall.open(channel, request, :bidi, :batch) do
      %{ref: ref, handle: handle} = stream
      caller = self()
      failing = fn failure -> send(caller, {ref, {:input, failure}}) end
      feed = fn -> Input.feed(enumerable, handle, ref, request.command, failing) end
      feeder = Feeder.start(ref, feed)

      try do
        stream |> StreamCall.consume(callback) |> answer(stream)
      after
        StreamCall.close(stream)
        Feeder.stop(feeder, ref)
      end
    end
  end

  defp answer({:input, {:invalid, error}}, stream) do
    Input.await_end(stream.ref)
    {:error, error}
  end

  defp answer({:input, {:raised, kind, reason, stacktrace}}, stream) do
    Input.await_end(stream.ref)
    :erlang.raise(kind, reason, stacktrace)
  end

  defp answer(result, _stream), do: result
end
