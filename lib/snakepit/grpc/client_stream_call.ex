defmodule Snakepit.GRPC.ClientStreamCall do
  @moduledoc false
  # Many chunks in, one result out. The enumerable is read in the caller, so that one which
  # depends on its process (a database transaction, say) works.

  alias Snakepit.{Error, Request}
  alias Snakepit.GRPC.{Channel, Input, StreamCall}

  @spec run(Channel.t(), Request.t(), Enumerable.t()) :: {:ok, map()} | {:error, Error.reason()}
  def run(channel, request, enumerable) do
    with {:ok, stream} <- StreamCall.open(channel, request, :client, :result) do
      try do
        stream |> feed(enumerable, request.command) |> StreamCall.decode_result(stream)
      after
        StreamCall.close(stream)
      end
    end
  end

  defp feed(%{ref: ref, handle: handle}, enumerable, command) do
    case Input.feed(enumerable, handle, ref, command) do
      {:answered, answer} ->
        answer

      {:invalid, error} ->
        Input.await_end(ref)
        {:error, error}

      _complete_or_over ->
        await_answer(ref)
    end
  catch
    kind, reason ->
      Input.await_end(ref)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  # The native client keeps the deadline, and answers in any case.
  defp await_answer(ref) do
    receive do
      {^ref, :room} -> await_answer(ref)
      {^ref, answer} -> answer
    end
  end
end
