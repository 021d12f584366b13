defmodule Snakepit.Telemetry do
  @moduledoc """
  What happens, told as events of `:telemetry`.

  Snakepit does not depend on the `:telemetry` application, but every Phoenix or Ecto application has
  it: when its module is loaded, events go to `:telemetry.execute/3`, and handlers are attached as for
  any other library:

      :telemetry.attach("slow", [:snakepit, :execute, :stop], &MyApp.Slow.handle/4, nil)

  Without it nothing is sent. `Snakepit.Metrics` counts either way.

  ## Events

  #{Snakepit.Telemetry.Events.docs()}

  Durations, `first_chunk`, `stalled`, `uptime`, `delay`, `queue_time` and `run_time` are in native
  units (`System.convert_time_unit/3`), `system_time` too. A measurement that is not known, such as the
  `first_chunk` of a stream without one, is left out.

    * `pool` is the name of the pool, `worker_id` that of the worker, nil when the call had none
    * `reason` is what stands behind `:error` in the result of the call, nil without an error
    * `chunks` and `bytes` came from Python, `sent` counts the chunks that went there
    * `stalls` is how often the consumer held the producer up, and `stalled` for how long altogether:
      the window was full, and Python not asked for its next chunk
    * `why` a call was cancelled is `:halted`, `:raised`, `:caller_down`, `:cancelled`, `:worker_timeout`,
      `:chunk_timeout`, `:job_canceled`, or the kind of an error; `how` its handler ended is `"yield"`
      when it came to a `yield` or looked, `"raised"` by an exception where it stood, `"finished"` by itself,
      `"killed"` with its process

  A call whose process is killed has no `:stop`; a stream has one, with the reason `:caller_down`.

  Handlers run in the process of the event, which is often that of the call. One that raises does
  no harm to it.
  """

  require Logger

  alias Snakepit.{Error, Log, Request}
  alias Snakepit.Metrics.Recorder
  alias Snakepit.Pool.{Shared, Streams}
  alias Snakepit.Status.Errors
  alias Snakepit.Telemetry.{Cancellations, Events}

  # Why there may be no slot. A session that is lost is another matter.
  @rejections [:queue_timeout, :pool_saturated, :worker_busy, :draining] ++
                [:grpc_unavailable, :worker_timeout]

  @type event :: [atom(), ...]
  @typedoc "What is known of a call."
  @type metadata :: %{
          required(:pool) => atom(),
          required(:command) => String.t(),
          required(:request_id) => String.t(),
          required(:session_id) => String.t() | nil,
          required(:worker_id) => String.t() | nil,
          optional(:shape) => atom()
        }
  @typedoc "What has passed in a stream."
  @type reading :: %{
          chunks: non_neg_integer(),
          bytes: non_neg_integer(),
          sent: non_neg_integer(),
          first_chunk: integer() | nil,
          stalls: non_neg_integer(),
          stalled: integer(),
          stalled?: boolean(),
          outcome: :open | :ok | {:error, Error.reason()}
        }

  @doc """
  The names of all events.

      iex> [:snakepit, :execute, :stop] in Snakepit.Telemetry.events()
      true
  """
  @spec events() :: [event()]
  defdelegate events, to: Events, as: :names

  # -- calls

  @doc false
  @spec metadata(Shared.t(), Request.t()) :: metadata()
  def metadata(%Shared{name: name}, %Request{} = request) do
    %{
      pool: name,
      command: request.command,
      request_id: request.request_id,
      session_id: request.session_id,
      worker_id: nil
    }
  end

  @doc false
  # `call` gives its result, and the worker it ran on.
  @spec execute(Shared.t(), Request.t(), (-> {result, String.t() | nil})) :: result
        when result: {:ok, map()} | {:error, Error.reason()}
  def execute(pool, request, call) do
    # As they are counted: native units are for those who want to know.
    began = System.monotonic_time(:nanosecond)

    if attached?(),
      do: emit([:execute, :start], started_at(native(began)), metadata(pool, request))

    try do
      call.()
    catch
      kind, reason ->
        duration = pool |> recorded(request, :raised, began) |> native()
        if Log.tells?(:info), do: log(pool, request, nil, {:raised, kind, reason}, duration)
        raised = %{kind: kind, reason: reason, stacktrace: __STACKTRACE__}
        metadata = Map.merge(metadata(pool, request), raised)
        emit([:execute, :exception], %{duration: duration}, metadata)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {result, worker_id} ->
        ns = recorded(pool, request, outcome(result), began)
        if attached?(), do: executed(pool, request, worker_id, result, native(ns))
        if Log.tells?(:info), do: log(pool, request, worker_id, {:returned, result}, native(ns))
        with {:error, reason} <- result, do: failed(pool, request, worker_id, reason)
        result
    end
  end

  defp recorded(pool, request, outcome, began) do
    ns = System.monotonic_time(:nanosecond) - began
    Recorder.call(pool.name, request.command, outcome, ns)
    ns
  end

  defp native(ns), do: System.convert_time_unit(ns, :nanosecond, :native)

  defp log(pool, request, worker_id, ending, duration) do
    metadata = %{metadata(pool, request) | worker_id: worker_id}
    Log.Calls.ended(metadata, request.args, ending, duration)
  end

  defp executed(pool, request, worker_id, result, duration) do
    metadata = Map.merge(metadata(pool, request), returned(result))
    emit([:execute, :stop], %{duration: duration}, %{metadata | worker_id: worker_id})
  end

  defp failed(pool, request, worker_id, reason) do
    if reason == :worker_timeout and worker_id,
      do: Cancellations.because(request.request_id, reason)

    record(reason, %{metadata(pool, request) | worker_id: worker_id})
  end

  @doc false
  @spec request(Shared.t(), Request.t(), String.t(), boolean(), (-> result)) :: result
        when result: term()
  def request(%Shared{protocol: :grpc} = pool, request, worker_id, streaming, call) do
    started = System.monotonic_time()
    result = call.()

    emit([:grpc, :request], %{duration: System.monotonic_time() - started}, %{
      command: request.command,
      streaming: streaming,
      pool: pool.name,
      worker_id: worker_id,
      request_id: request.request_id
    })

    result
  end

  def request(_pipes, _request, _worker_id, _streaming, call), do: call.()

  # -- streams

  @doc false
  @spec stream_started(Streams.t()) :: :ok
  def stream_started(%Streams{} = stream),
    do: emit([:stream, :start], started_at(stream.started), stream.metadata)

  @doc false
  @spec stream_ended(Streams.t(), Streams.ending(), reading()) :: :ok
  def stream_ended(%Streams{metadata: metadata} = stream, ending, reading) do
    duration = System.monotonic_time() - stream.started

    with why when why != nil <-
           stream.gauge && Streams.cancelled_because(ending, reading.outcome),
         do: Cancellations.because(metadata.request_id, why)

    Recorder.stream(metadata.pool, metadata.command, outcome(ending), duration, reading)

    measurements =
      reading
      |> Map.take([:chunks, :bytes, :sent, :first_chunk, :stalls, :stalled])
      |> Map.put(:duration, duration)
      |> known()

    case ending do
      {:returned, result} ->
        Log.Calls.ended(metadata, stream.args, ending, duration)
        with {:error, reason} <- result, do: record(reason, metadata)
        emit([:stream, :stop], measurements, Map.merge(metadata, returned(result)))

      {:raised, kind, reason, stacktrace} ->
        Log.Calls.ended(metadata, stream.args, {:raised, kind, reason}, duration)
        raised = %{kind: kind, reason: reason, stacktrace: stacktrace}
        emit([:stream, :exception], measurements, Map.merge(metadata, raised))
    end
  end

  @doc false
  @spec stalled(Streams.t(), pos_integer()) :: :ok
  def stalled(%Streams{metadata: metadata}, us) do
    duration = System.convert_time_unit(us, :microsecond, :native)
    emit([:stream, :stall], %{duration: duration}, metadata)
  end

  @doc false
  @spec nothing_read() :: reading()
  def nothing_read do
    %{
      chunks: 0,
      bytes: 0,
      sent: 0,
      first_chunk: nil,
      stalls: 0,
      stalled: 0,
      stalled?: false,
      outcome: :open
    }
  end

  # -- the queue of a pool

  @doc false
  @spec waited(Shared.t(), Request.t(), integer(), {:ok, term()} | {:error, atom()}) :: :ok
  def waited(pool, request, started, result) do
    metadata = pool |> metadata(request) |> Map.merge(returned(result))
    emit([:queue, :wait], %{duration: System.monotonic_time() - started}, metadata)
  end

  @doc false
  @spec rejected(Shared.t(), Request.t(), atom()) :: :ok
  def rejected(pool, request, reason) do
    if reason in @rejections do
      metadata = pool |> metadata(request) |> Map.put(:reason, reason)
      emit([:queue, :reject], %{count: 1}, metadata)
    end

    :ok
  end

  # -- everything else

  @doc false
  # The worker says that a handler has ended, and the reason has to be found; or it was.
  @spec cancelled(map(), atom() | nil, non_neg_integer()) :: :ok
  def cancelled(metadata, nil, duration), do: Cancellations.stopped(metadata, duration)

  def cancelled(metadata, why, duration) do
    metadata = metadata |> Map.put_new(:how, nil) |> Map.put(:why, why)
    emit([:cancel], %{duration: duration}, metadata)
  end

  @doc false
  @spec event(event(), map(), map()) :: :ok
  def event(name, measurements, metadata), do: emit(name, known(measurements), metadata)

  @doc false
  @spec log_dropped(:client | :worker, pos_integer(), String.t() | nil) :: :ok
  def log_dropped(source, count, worker_id \\ nil),
    do: emit([:log, :dropped], %{count: count}, %{source: source, worker_id: worker_id})

  @doc false
  @spec started_at(integer()) :: map()
  def started_at(monotonic_time),
    do: %{
      monotonic_time: monotonic_time,
      system_time: monotonic_time + System.time_offset()
    }

  # The only place that emits.
  defp emit(name, measurements, metadata) do
    Recorder.event(name, measurements, metadata)
    if attached?(), do: send_out([:snakepit | name], measurements, metadata)
    :ok
  end

  @doc false
  # Nobody has attached a handler to a module that is not loaded.
  @spec attached?() :: boolean()
  def attached?, do: :erlang.function_exported(:telemetry, :execute, 3)

  # `:telemetry` itself takes care of handlers that raise.
  defp send_out(event, measurements, metadata) do
    # Called by its name, as the compiler does not know it.
    apply(:telemetry, :execute, [event, measurements, metadata])
    :ok
  catch
    kind, reason ->
      Logger.error(
        "A handler of the event #{inspect(event)} failed: " <>
          Exception.format(kind, reason, __STACKTRACE__)
      )
  end

  # For whoever looks at the last errors. That of a custom adapter may be anything.
  defp record(%Error{} = error, metadata), do: record_known(error, metadata)

  defp record(reason, metadata),
    do: if(reason in Error.conditions(), do: record_known(reason, metadata))

  defp record_known(reason, metadata), do: Errors.record(Map.put(metadata, :reason, reason))

  defp returned({:error, reason}), do: %{result: :error, reason: reason}
  defp returned(_ok), do: %{result: :ok, reason: nil}

  defp outcome({:returned, result}), do: outcome(result)
  defp outcome({:raised, _kind, _reason, _stacktrace}), do: :raised
  defp outcome({:error, %Error{kind: kind}}), do: kind
  defp outcome({:error, reason}) when is_atom(reason), do: reason
  defp outcome({:error, _of_an_adapter}), do: :other
  defp outcome(_ok), do: :ok

  defp known(measurements), do: Map.reject(measurements, fn {_key, value} -> value == nil end)
end
