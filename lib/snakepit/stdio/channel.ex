defmodule Snakepit.Stdio.Channel do
  @moduledoc false
  # The pipes of one worker process, as its callers see them: they write requests to the port
  # themselves, and find themselves in the table of its calls when the reply comes.

  alias Snakepit.Error
  alias Snakepit.Stdio.{Call, Codec}

  # For an answer that nobody needs.
  @patience 5_000

  @enforce_keys [:port, :owner, :writer, :calls, :counters, :codec, :worker_id, :target]
  defstruct [
    :port,
    :owner,
    :writer,
    :calls,
    :counters,
    :codec,
    :worker_id,
    :target,
    max_message_size: 268_435_456
  ]

  @type t :: %__MODULE__{
          port: port(),
          owner: pid(),
          writer: pid(),
          calls: :ets.table(),
          counters: :atomics.atomics_ref(),
          codec: :json | :msgpack,
          worker_id: String.t(),
          target: String.t(),
          max_message_size: pos_integer()
        }

  @doc """
  Asks the worker for its health, and waits for the answer. Whatever a worker of another kind
  answers shows that it is alive.
  """
  @spec health(t(), pos_integer()) :: {:ok, map()} | {:error, Error.reason()}
  def health(%__MODULE__{} = channel, timeout) do
    case Call.exchange(channel, [type: "health", command: "ping", args: %{}], timeout) do
      {:ok, %{"success" => true, "result" => %{} = result}} -> {:ok, healthy(channel, result)}
      {:ok, _any_reply} -> {:ok, healthy(channel, %{})}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc """
  Has the worker log from this level on. Does not wait for it.
  """
  @spec set_log_level(t(), atom()) :: :ok
  def set_log_level(%__MODULE__{} = channel, level) do
    # A worker that does not answer has other troubles.
    spawn(fn ->
      Call.exchange(channel, [type: "log_level", level: to_string(level)], @patience)
    end)

    :ok
  end

  defp healthy(channel, result) do
    case result do
      %{"healthy" => healthy} when is_boolean(healthy) -> result
      _other -> Map.put(result, "healthy", true)
    end
    |> Map.put_new("transport", Codec.transport(channel.codec))
  end

  defimpl Inspect do
    def inspect(channel, _opts), do: "#Snakepit.Stdio.Channel<#{channel.target}>"
  end
end
