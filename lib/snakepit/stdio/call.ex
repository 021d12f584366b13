defmodule Snakepit.Stdio.Call do
  @moduledoc false
  # One call through the pipes of a worker: encoded, written, awaited and decoded here, in the
  # caller.

  alias Snakepit.{Error, Mailbox, Request}
  alias Snakepit.Stdio.{Channel, Codec, Owner, Writer}

  @next_id 1

  @spec run(Channel.t(), Request.t()) :: {:ok, map()} | {:error, Error.reason()}
  def run(%Channel{} = channel, %Request{} = request) do
    timeout = Request.remaining(request)

    case exchange(channel, fields(request, timeout), timeout) do
      {:ok, reply} -> result(reply, channel, request)
      {:error, %Error{} = error} -> {:error, named(error, channel, request)}
      {:error, condition} -> {:error, condition}
    end
  end

  @doc """
  Sends a frame of these fields and waits for the reply.
  """
  @spec exchange(Channel.t(), keyword(), timeout()) :: {:ok, map()} | {:error, Error.reason()}
  def exchange(%Channel{codec: codec} = channel, fields, timeout) do
    id = :atomics.add_get(channel.counters, @next_id, 1)

    with {:ok, frame, size} <- encode(codec, id, fields),
         :ok <- check_size(size, channel),
         {:ok, data} <- ask(channel, id, frame, timeout),
         do: decode(channel, data)
  end

  defp encode(codec, id, fields) do
    with {:error, text} <- Codec.encode(codec, id, fields), do: error(:encoding, text)
  end

  defp check_size(size, %{max_message_size: max}) when size <= max, do: :ok

  defp check_size(size, %{max_message_size: max}),
    do: error(:too_large, "the arguments are #{size} bytes, and :max_message_size is #{max}")

  defp fields(request, timeout) do
    [command: request.command, args: request.args, request_id: request.request_id]
    |> put(:session_id, request.session_id)
    |> put(:timeout_ms, if(timeout != :infinity, do: max(timeout, 1)))
    |> put(:metadata, if(request.metadata != %{}, do: request.metadata))
  end

  defp put(fields, _name, nil), do: fields
  defp put(fields, name, value), do: fields ++ [{name, value}]

  defp ask(channel, id, frame, timeout) do
    Owner.watch_caller(channel)
    ref = Process.monitor(channel.owner, alias: :reply_demonitor)

    try do
      :ets.insert(channel.calls, {id, ref, self()})
    rescue
      # The table went with its owner, and nothing was sent.
      ArgumentError ->
        Process.demonitor(ref, [:flush])
        {:error, :grpc_unavailable}
    else
      true -> channel |> Writer.write(id, frame) |> await(channel, id, ref, timeout)
    end
  end

  # The owner may have ended the call before.
  defp await(:closed, _channel, _id, ref, _timeout) do
    Process.demonitor(ref, [:flush])
    Mailbox.flush(ref)
    {:error, :grpc_unavailable}
  end

  defp await(:ok, channel, id, ref, timeout) do
    receive do
      {^ref, answer} -> answer
      {:DOWN, ^ref, :process, _owner, _reason} -> {:error, :worker_exited}
    after
      timeout -> give_up(channel, id, ref)
    end
  end

  # An answer on its way is no answer any more: the deadline has passed.
  defp give_up(channel, id, ref) do
    Process.demonitor(ref, [:flush])
    Owner.forget(channel, id)
    Mailbox.flush(ref)
    {:error, :worker_timeout}
  end

  defp decode(%Channel{codec: codec} = channel, data) do
    case Codec.decode(codec, data) do
      {:ok, %{} = reply} ->
        {:ok, reply}

      {:ok, other} ->
        broken(channel, "a frame that holds no object: #{shown(other)}")

      {:error, text} ->
        broken(channel, "a frame that cannot be read (#{text}): #{Codec.excerpt(data)}")
    end
  end

  # Whoever writes that may write anything: the worker is replaced.
  defp broken(channel, text) do
    Owner.broken(channel, "wrote " <> text)
    error(:protocol, "The worker wrote #{text}. It is replaced.")
  end

  defp result(%{"success" => true, "result" => %{} = result}, _channel, _request),
    do: {:ok, result}

  defp result(%{"success" => true} = reply, _channel, _request),
    do: {:ok, %{"result" => reply["result"]}}

  defp result(%{"success" => false} = reply, channel, request) do
    detail = if is_map(reply["detail"]), do: reply["detail"], else: %{}
    {:error, failure(detail["kind"], detail, text(reply["error"]) || "", channel, request)}
  end

  defp result(other, channel, request) do
    text = "The worker's reply has no \"success\": #{shown(Map.delete(other, "id"))}."
    {:error, named(%Error{kind: :protocol, message: text}, channel, request)}
  end

  @conditions %{
    "busy" => :worker_busy,
    "cancelled" => :cancelled,
    "session_not_found" => :session_not_found,
    "session_lost" => :session_lost,
    "draining" => :draining
  }
  @kinds Map.new(
           ~w(unknown_command invalid_arguments encoding too_large protocol)a,
           &{to_string(&1), &1}
         )

  defp failure(kind, _detail, _text, _channel, _request) when is_map_key(@conditions, kind),
    do: @conditions[kind]

  defp failure(kind, detail, text, channel, request) do
    named(
      %Error{
        kind: Map.get(@kinds, kind, :python),
        message: text(detail["message"]) || text,
        python_type: text(detail["type"]),
        traceback: text(detail["traceback"]),
        retryable?: detail["retryable"] == true
      },
      channel,
      request
    )
  end

  defp text(text) when is_binary(text) and text != "", do: text
  defp text(_none), do: nil

  defp named(error, channel, request) do
    %{
      error
      | command: request.command,
        worker_id: channel.worker_id,
        request_id: request.request_id
    }
  end

  defp error(kind, text), do: {:error, %Error{kind: kind, message: text}}

  defp shown(term), do: inspect(term, limit: 10, printable_limit: 200)
end
