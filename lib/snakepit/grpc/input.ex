defmodule Snakepit.GRPC.Input do
  @moduledoc false
  # Feeds the chunks of an enumerable to a handler, as fast as the handler consumes them: an
  # element is asked for only when there is room for it.

  alias Snakepit.Error
  alias Snakepit.GRPC.Native

  # How long a handler may take to end after it was told that its input failed.
  @abort_grace 1_000

  @typedoc """
  How the feeding ended: the input is complete, the call ended before it (with its answer, if that
  came by here), or an element cannot be sent.
  """
  @type outcome :: :complete | :over | {:answered, term()} | {:invalid, Error.t()}

  @type failure ::
          {:invalid, Error.t()}
          | {:raised, :error | :exit | :throw, term(), Exception.stacktrace()}

  @doc """
  Sends every element. Room is told by a message `{ref, :room}` to this process. When the
  enumerable raises, Python is told and the exception goes on. `failing` gets what failed before
  Python does, whose answer to it may be faster than this process.
  """
  @spec feed(Enumerable.t(), Native.handle(), reference(), String.t(), (failure() -> term())) ::
          outcome()
  def feed(enumerable, handle, ref, command, failing \\ fn _failure -> :ok end) do
    outcome =
      Enum.reduce_while(enumerable, :complete, fn chunk, :complete ->
        case send_chunk(handle, ref, chunk) do
          :ok -> {:cont, :complete}
          {:error, kind, text} -> {:halt, invalid(handle, command, kind, text, failing)}
          ended -> {:halt, ended}
        end
      end)

    if outcome == :complete, do: Native.half_close(handle)
    outcome
  rescue
    exception ->
      failing.({:raised, :error, exception, __STACKTRACE__})
      :ok = Native.abort_input(handle, Exception.message(exception))
      reraise exception, __STACKTRACE__
  catch
    kind, reason ->
      failing.({:raised, kind, reason, __STACKTRACE__})
      :ok = Native.abort_input(handle, Exception.format_banner(kind, reason))
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  @doc """
  Waits until the handler has ended after its input failed, but not for long.
  """
  @spec await_end(reference()) :: :ok
  def await_end(ref), do: await_end(ref, System.monotonic_time(:millisecond) + @abort_grace)

  defp await_end(ref, until) do
    receive do
      {^ref, {:ok, _result}} -> :ok
      {^ref, {:error, _reason}} -> :ok
      {^ref, :done} -> :ok
      {^ref, _chunks_or_room} -> await_end(ref, until)
    after
      max(until - System.monotonic_time(:millisecond), 0) -> :ok
    end
  end

  defp send_chunk(handle, ref, chunk) when is_map(chunk) and not is_struct(chunk) do
    sent =
      with :yield <- Native.send_chunk(handle, chunk), do: Native.send_chunk_large(handle, chunk)

    if sent == :wait, do: wait_for_room(ref), else: sent
  end

  defp send_chunk(_handle, _ref, chunk),
    do:
      {:error, :encoding, "expected every element to be a map, got: #{inspect(chunk, limit: 5)}"}

  defp wait_for_room(ref) do
    receive do
      {^ref, :room} -> :ok
      {^ref, answer} -> {:answered, answer}
    end
  end

  defp invalid(handle, command, kind, text, failing) do
    failure = {:invalid, %Error{kind: kind, message: text, command: command}}
    failing.(failure)
    :ok = Native.abort_input(handle, text)
    failure
  end
end
