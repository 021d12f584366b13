defmodule Snakepit.GRPC.BidiStreamCall do
  @moduledoc false
  # Chunks in both directions, independently: the callback runs in the caller, and the
  # enumerable is read in a process of its own, as either may wait for what the other does.

  alias Snakepit.{Error, Request}
  alias Snakepit.GRPC.{Channel, Input, StreamCall}

  # How long an enumerable may take to clean up when its elements are no longer wanted.
  @cleanup 100

  @spec run(Channel.t(), Request.t(), Enumerable.t(), (map() -> term())) ::
          :ok | {:error, Error.reason()}
  def run(channel, request, enumerable, callback) do
    with {:ok, stream} <- StreamCall.open(channel, request, :bidi, :batch) do
      {feeder, monitor} = start_feeder(stream, enumerable, request.command)

      try do
        stream |> StreamCall.consume(callback) |> answer(stream)
      after
        StreamCall.close(stream)
        Process.demonitor(monitor, [:flush])
        stop_feeder(feeder, stream.ref)
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

  # Linked, so that it does not outlive a caller that is killed; and monitored, as a caller that
  # traps exits would wait for its chunks for ever.
  defp start_feeder(%{ref: ref, handle: handle}, enumerable, command) do
    caller = self()

    feed = fn ->
      outcome =
        try do
          Input.feed(enumerable, handle, ref, command)
        catch
          kind, reason -> {:raised, kind, reason, __STACKTRACE__}
        end

      send(caller, {ref, {:input, outcome}})
    end

    :erlang.spawn_opt(feed, [:link, monitor: [tag: ref]])
  end

  # The call is over, so the feeder ends at its next element, and its enumerable cleans up. One
  # that waits for something else has to be killed.
  defp stop_feeder(feeder, ref) do
    monitor = Process.monitor(feeder)
    send(feeder, {ref, :over})

    receive do
      {:DOWN, ^monitor, :process, ^feeder, _reason} -> :ok
    after
      @cleanup ->
        Process.unlink(feeder)
        Process.exit(feeder, :kill)

        receive do
          {:DOWN, ^monitor, :process, ^feeder, _reason} -> :ok
        end
    end

    Process.unlink(feeder)
    StreamCall.flush(ref)

    receive do
      {:EXIT, ^feeder, _reason} -> :ok
    after
      0 -> :ok
    end
  end
end
