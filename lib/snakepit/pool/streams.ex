defmodule Snakepit.Pool.Streams do
  @moduledoc false
  # The streams that run on a pool: their spans, and a table in which others can look at them.
  #
  # A row is `{slot, token, id, stream}`. A caller that was killed leaves its row behind; the pool's
  # server, which frees its slots, ends the span in its name.

  alias Snakepit.{Error, Log, Request, Telemetry}
  alias Snakepit.Adapter.Connection
  alias Snakepit.GRPC.Native
  alias Snakepit.Pool.{Lease, Shared, Slots}

  @enforce_keys [:id, :shape, :pid, :metadata, :started]
  defstruct [:id, :shape, :pid, :metadata, :started, :args, :table, :place, :gauge, :counted]

  # `args` are kept only for the log, when they may stand there. `gauge` is nil until the stream has a worker. An adapter that makes its calls itself has its chunks
  # counted here.
  @type t :: %__MODULE__{
          id: pos_integer(),
          shape: Native.shape(),
          pid: pid(),
          metadata: Telemetry.metadata(),
          started: integer(),
          args: map() | nil,
          table: :ets.table() | nil,
          place: {Slots.slot(), Slots.token()} | nil,
          gauge: Native.gauge() | nil,
          counted: :counters.counters_ref() | nil
        }

  @typedoc "How a stream ended: what the call returned, or what was raised in the caller."
  @type ending ::
          {:returned, term()} | {:raised, :error | :exit | :throw, term(), Exception.stacktrace()}

  @spec table() :: :ets.table()
  def table, do: :ets.new(__MODULE__, [:public, read_concurrency: true, write_concurrency: true])

  @doc """
  A stream is asked for.
  """
  @spec start(Shared.t(), Request.t(), Native.shape()) :: t()
  def start(pool, request, shape) do
    stream = %__MODULE__{
      id: System.unique_integer([:positive]),
      shape: shape,
      pid: self(),
      metadata: pool |> Telemetry.metadata(request) |> Map.put(:shape, shape),
      started: System.monotonic_time(),
      args: if(Log.arguments?(), do: request.args)
    }

    Telemetry.stream_started(stream)
    stream
  end

  @doc """
  It has a worker.
  """
  @spec enter(t(), Lease.t()) :: t()
  def enter(stream, %Lease{pool: pool, slot: slot, token: token, channel: channel}) do
    stream = %{
      stream
      | metadata: %{stream.metadata | worker_id: channel.worker_id},
        table: pool.streams,
        place: {slot, token},
        gauge: Native.gauge(),
        counted: if(is_struct(channel, Connection), do: :counters.new(1, []))
    }

    :ets.insert(pool.streams, {slot, token, stream.id, stream})
    stream
  rescue
    # Here and below: the table has gone with its pool.
    ArgumentError -> stream
  end

  @doc """
  It is over. Whoever says so first is heard.
  """
  @spec finish(t(), ending()) :: :ok
  def finish(%__MODULE__{} = stream, ending) do
    if take(stream), do: Telemetry.stream_ended(stream, ending, read(stream))
    :ok
  end

  @doc """
  The stream in this slot has ended, and its caller does not tell.
  """
  @spec finish_slot(Shared.t(), Slots.slot(), Slots.token()) :: :ok
  def finish_slot(pool, slot, token) do
    with %__MODULE__{} = stream <- lookup(pool, slot, token) do
      outcome = read(stream).outcome
      result = if outcome == :open, do: {:error, :cancelled}, else: outcome
      finish(stream, {:returned, result})
    end

    :ok
  end

  @doc """
  The caller that had this slot is gone.
  """
  @spec abandon(Shared.t(), Slots.slot(), Slots.token()) :: :ok
  def abandon(pool, slot, token) do
    with %__MODULE__{} = stream <- lookup(pool, slot, token),
         do: finish(stream, {:returned, {:error, :caller_down}})

    :ok
  end

  @doc """
  What is to be known of the streams that run.
  """
  @spec running(Shared.t()) :: [map()]
  def running(%Shared{} = pool) do
    for stream <- rows(pool) do
      reading = read(stream)

      reading
      |> Map.take([:chunks, :bytes, :sent, :stalls, :stalled?])
      |> Map.merge(stream.metadata)
      |> Map.merge(%{
        id: stream.id,
        pid: stream.pid,
        stalled_ms: milliseconds(reading.stalled),
        age_ms: milliseconds(System.monotonic_time() - stream.started)
      })
    end
  end

  @doc """
  Ends a stream from outside: its consumer gets `{:error, :cancelled}`.
  """
  @spec cancel(Shared.t(), pos_integer()) :: :ok | {:error, :not_found}
  def cancel(pool, id) do
    with %__MODULE__{gauge: gauge} <- Enum.find(rows(pool), &(&1.id == id)),
         true <- Native.gauge_end(gauge) do
      :ok
    else
      _none -> {:error, :not_found}
    end
  end

  @doc """
  A chunk of an adapter that makes its calls itself.
  """
  @spec count_chunk(t()) :: :ok
  def count_chunk(%__MODULE__{counted: counted}), do: :counters.add(counted, 1, 1)

  @doc """
  What has passed. Times are in native units.
  """
  @spec read(t()) :: Telemetry.reading()
  def read(%__MODULE__{gauge: nil}), do: Telemetry.nothing_read()

  def read(%__MODULE__{gauge: gauge, counted: counted}) do
    {{chunks, bytes, sent}, first, {stalls, stalled, stalled?}, outcome} =
      Native.gauge_read(gauge)

    %{
      chunks: chunks + if(counted, do: :counters.get(counted, 1), else: 0),
      bytes: bytes,
      sent: sent,
      first_chunk: first && native(first),
      stalls: stalls,
      stalled: native(stalled),
      stalled?: stalled?,
      outcome: if(counted, do: :ok, else: outcome)
    }
  end

  @doc """
  Why Python was cancelled by this end of its stream; nil when it was not.
  """
  @spec cancelled_because(ending(), :open | :ok | {:error, Error.reason()}) :: atom()
  def cancelled_because({:raised, _kind, _reason, _stacktrace}, :open), do: :raised
  def cancelled_because({:returned, {:error, reason}}, :open) when is_atom(reason), do: reason
  def cancelled_because({:returned, {:error, %Error{kind: kind}}}, :open), do: kind
  def cancelled_because({:returned, _ok}, :open), do: :halted

  def cancelled_because(_ending, {:error, reason})
      when reason in [:worker_timeout, :chunk_timeout, :cancelled],
      do: reason

  def cancelled_because(_ending, _python_ended), do: nil

  defp lookup(%Shared{streams: table}, slot, token) do
    with [{^slot, ^token, _id, stream}] <- :ets.lookup(table, slot), do: stream
  end

  defp rows(%Shared{streams: table, slots: slots}) do
    for {slot, token, _id, stream} <- :ets.tab2list(table),
        Slots.held?(slots, slot, token),
        do: stream
  rescue
    ArgumentError -> []
  end

  # The next stream in the slot may be there already.
  defp take(%__MODULE__{place: nil}), do: true

  defp take(%__MODULE__{table: table, place: {slot, token}} = stream) do
    :ets.select_delete(table, [{{slot, token, stream.id, :_}, [], [true]}]) == 1
  rescue
    ArgumentError -> true
  end

  defp milliseconds(time), do: System.convert_time_unit(time, :native, :millisecond)
  defp native(us), do: System.convert_time_unit(us, :microsecond, :native)
end
