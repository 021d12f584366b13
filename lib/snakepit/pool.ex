defmodule Snakepit.Pool do
  @moduledoc """
  A pool of Python worker processes, and its supervisor.

      children = [
        {Snakepit.Pool,
         name: MyApp.Python,
         pool_size: 4,
         python: [path: ["python"], modules: ["my_app.handlers"]]}
      ]

  The options are those of `Snakepit.Config`. The pool starts when every worker is ready;
  if one cannot start, the pool does not either, and the reason has the last lines
  the worker wrote. When it stops, it takes no new calls, lets the running ones
  finish within `:shutdown_timeout`, and leaves no process behind.

  ## How a call gets a worker

  Every worker has `:max_concurrent_streams` slots. A caller takes a slot of the least
  loaded worker without asking any process; when all are taken it waits in a queue,
  first come first served, for `:queue_timeout` at most. A full queue is
  `:pool_saturated` at once. A caller that dies gives its slot back.

  While a worker is being replaced, callers wait for it if no other has a free slot. When
  no worker is ready and the latest start of each has failed, calls return
  `:grpc_unavailable` at once instead, until one of the repeated starts succeeds.
  """

  use Supervisor

  alias Snakepit.{Config, Error, GRPC, Progress, Request, Telemetry}
  alias Snakepit.Worker.Channel

  alias Snakepit.Pool.{
    Choice,
    Drain,
    Gate,
    Lease,
    Recycler,
    Server,
    SessionKeeper,
    Sessions,
    Shared,
    Slots,
    Streams,
    Succession
  }

  alias Snakepit.Pool.WorkerSupervisor

  @default_timeout 30_000

  # A call that ends its worker every time must not take all of them along.
  @repeats 3

  @doc """
  Starts a pool with the options of `Snakepit.Config`, and returns when it is ready.
  """
  @spec start_link([Config.option()]) :: Supervisor.on_start()
  def start_link(options) do
    case Config.candidates!(options) do
      [%{fallback_adapter: nil} = config] -> start_one(config)
      [config] -> start_one(%{config | tolerant: true})
      [config | _] = several -> Choice.start_link(several, supervisor(config.name))
    end
  end

  @doc false
  @spec start_one(Config.t()) :: Supervisor.on_start()
  def start_one(%Config{name: name} = config),
    do: Supervisor.start_link(__MODULE__, config, name: supervisor(name))

  @doc false
  @spec supervisor(atom()) :: atom()
  def supervisor(name), do: Module.concat(__MODULE__, name)

  @doc false
  def child_spec(options) do
    %{
      id: {__MODULE__, options[:name] || :default},
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    }
  end

  @impl true
  def init(config) do
    # Started in this order and stopped in reverse: who crashes takes all below along.
    children = [
      {SessionKeeper, config},
      {Server, config},
      {WorkerSupervisor, config},
      {Gate, config},
      {Drain, config},
      # Last, so that nobody is replaced while the pool stops.
      {Recycler, config}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end

  @doc """
  Runs a command on a worker of the pool. See `Snakepit.execute/3`.
  """
  @spec execute(String.t(), map(), Snakepit.opts()) :: {:ok, map()} | {:error, Error.reason()}
  def execute(command, args, opts \\ []) do
    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool} <- fetch_or_start(request.pool) do
      execute_on(pool, :any, request)
    end
  end

  @doc """
  Runs a streaming command on a worker of the pool. See `Snakepit.execute_stream/4`.
  """
  @spec execute_stream(String.t(), map(), (map() -> term()), Snakepit.opts()) ::
          :ok | {:error, Error.reason()}
  def execute_stream(command, args, callback, opts \\ []) do
    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool} <- fetch_or_start(request.pool) do
      stream_on(pool, :any, request, callback)
    end
  end

  @doc """
  Runs a command that consumes the elements of `enumerable`. See
  `Snakepit.execute_client_stream/4`.
  """
  @spec execute_client_stream(String.t(), map(), Enumerable.t(), Snakepit.opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute_client_stream(command, args, enumerable, opts \\ []),
    do: run_stream(:client, command, args, opts, &GRPC.ClientStreamCall.run(&1, &2, enumerable))

  @doc """
  Runs a command with chunks in both directions. See `Snakepit.execute_bidi_stream/5`.
  """
  @spec execute_bidi_stream(
          String.t(),
          map(),
          Enumerable.t(),
          (map() -> term()),
          Snakepit.opts()
        ) :: :ok | {:error, Error.reason()}
  def execute_bidi_stream(command, args, enumerable, callback, opts \\ []) do
    check_callback!(callback)
    run = &GRPC.BidiStreamCall.run(&1, &2, enumerable, callback)
    Progress.during(fn -> run_stream(:bidi, command, args, opts, run) end)
  end

  @doc """
  Starts a streaming command that sends its chunks as messages. See `Snakepit.start_stream/3`.
  """
  @spec start_stream(String.t(), map(), Snakepit.opts()) ::
          {:ok, Snakepit.Stream.t()} | {:error, Error.reason()}
  def start_stream(command, args, opts \\ []) do
    ref = make_ref()

    # Nothing runs here when the stream ends, so the native client tells the pool.
    start = fn lease, request ->
      channel = Channel.grpc(lease.channel)
      GRPC.StreamCall.start_each(channel, ref, request, Lease.release_message(lease))
    end

    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool} <- fetch_or_start(request.pool),
         {:ok, lease, span, handle} <- open_stream(pool, request, start) do
      {:ok,
       %Snakepit.Stream{
         ref: ref,
         handle: handle,
         command: command,
         worker_id: lease.channel.worker_id,
         request_id: request.request_id,
         span: span
       }}
    end
  end

  @doc false
  @spec execute_on(Shared.t(), Slots.target(), Request.t()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute_on(pool, target, request) do
    request = %{request | timeout: request.timeout || @default_timeout}

    Telemetry.execute(pool, request, fn ->
      with :ok <- known(pool, request),
           do: call(pool, target, request, @repeats),
           else: (error -> {named(error, request, nil), nil})
    end)
  end

  defp named({:error, %Error{} = error}, request, worker_id),
    do: {:error, Error.about(error, request, worker_id)}

  defp named(result, _request, _worker_id), do: result

  defp call(pool, target, request, repeats) do
    case call_once(pool, target, request) do
      # By now the pool knows that the worker is gone: the next attempt finds another one, or
      # waits.
      {{:error, :worker_exited}, _worker} when repeats > 0 and request.idempotent ->
        call(pool, target, request, repeats - 1)

      # Nothing was sent, so nothing has run.
      {{:error, :grpc_unavailable}, _worker} when repeats > 0 ->
        call(pool, target, request, repeats - 1)

      result ->
        result
    end
  end

  # A killed caller does not come to the `after`; the server frees its slot.
  defp call_once(pool, target, request) do
    case checkout(pool, target, request) do
      {:ok, %{channel: channel} = lease} ->
        try do
          request = on_lease(request)
          run = fn -> Channel.execute(channel, request) end
          result = Telemetry.request(pool, request, channel.worker_id, false, run)
          {result |> named(request, channel.worker_id) |> Lease.note(lease), channel.worker_id}
        after
          Lease.release(lease)
        end

      {:error, _reason} = error ->
        {error, nil}
    end
  end

  @doc false
  @spec stream_on(Shared.t(), Slots.target(), Request.t(), (map() -> term())) ::
          :ok | {:error, Error.reason()}
  def stream_on(pool, target, request, callback) do
    check_callback!(callback)
    run = &Channel.stream(&1, &2, callback)
    Progress.during(fn -> stream_on_lease(pool, target, request, :server, run) end)
  end

  defp run_stream(shape, command, args, opts, run) do
    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool} <- fetch_or_start(request.pool),
         do: stream_on_lease(pool, :any, request, shape, &run.(Channel.grpc(&1), &2))
  end

  # A killed caller does not come to the `after`; the server frees its slot.
  defp stream_on_lease(pool, target, request, shape, run) do
    with {:ok, lease, span, request} <- enter_stream(pool, target, request, shape) do
      try do
        request = on_lease(request)
        run = fn -> run.(lease.channel, request) end
        result = Telemetry.request(pool, request, lease.channel.worker_id, true, run)
        result |> named(request, lease.channel.worker_id) |> Lease.note(lease)
      catch
        kind, reason ->
          Streams.finish(span, {:raised, kind, reason, __STACKTRACE__})
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        result ->
          Streams.finish(span, {:returned, result})
          result
      after
        Lease.release(lease)
      end
    end
  end

  defp enter_stream(pool, target, request, shape) do
    request = %{request | timeout: request.timeout || pool.config.stream_timeout}
    span = Streams.start(pool, request, shape)

    with :ok <- streams(pool),
         :ok <- known(pool, request),
         {:ok, lease} <- checkout(pool, target, request) do
      span = Streams.enter(span, lease)
      {:ok, lease, span, %{request | span: span}}
    else
      error ->
        error = named(error, request, nil)
        Streams.finish(span, {:returned, error})
        error
    end
  end

  # Before a slot is taken: no worker of the pool could.
  defp streams(%{config: %{protocol: :grpc}}), do: :ok
  defp streams(_pipes), do: {:error, :streaming_not_supported}

  defp known(%{config: %{commands: :any}}, _request), do: :ok

  defp known(%{config: %{commands: commands, adapter: adapter}}, %{command: command}) do
    if command in commands do
      :ok
    else
      text = "#{inspect(command)} is none of the commands of #{inspect(adapter)}"
      {:error, %Error{kind: :unknown_command, message: text, command: command}}
    end
  end

  defp check_callback!(callback) when is_function(callback, 1), do: :ok

  defp check_callback!(callback) do
    raise ArgumentError,
          "expected the callback to be a function of one argument, got: #{inspect(callback)}"
  end

  @doc false
  # Takes a lease that outlives this function if `open` succeeds.
  @spec open_stream(
          Shared.t(),
          Request.t(),
          (Lease.t(), Request.t() -> {:ok, stream} | {:error, Error.reason()})
        ) :: {:ok, Lease.t(), Streams.t(), stream} | {:error, Error.reason()}
        when stream: term()
  def open_stream(pool, request, open) do
    with {:ok, lease, span, request} <- enter_stream(pool, :any, request, :server) do
      case open.(lease, request) do
        {:ok, stream} ->
          {:ok, lease, span, stream}

        {:error, _reason} = error ->
          error = named(error, request, lease.channel.worker_id)
          Streams.finish(span, {:returned, error})
          Lease.release(lease)
          Lease.note(error, lease)
      end
    end
  end

  defp on_lease(%{on_lease: nil} = request), do: request
  defp on_lease(%{on_lease: on_lease} = request), do: on_lease.(request)

  defp checkout(_pool, _target, %{timeout: 0}), do: {:error, :worker_timeout}

  defp checkout(pool, target, request) do
    case lease(pool, target, request) do
      {:ok, lease} ->
        if Channel.lost?(lease.channel) do
          Lease.suspect(lease)
          Lease.release(lease)
          checkout(pool, target, request)
        else
          {:ok, lease}
        end

      {:error, reason} = error ->
        Telemetry.rejected(pool, request, reason)
        error
    end
  end

  defp lease(pool, target, %{session_id: nil} = request),
    do: Lease.checkout(pool, target, request)

  defp lease(pool, target, request), do: Sessions.checkout(pool, target, request)

  @doc """
  The names of the pools that run.

      iex> Snakepit.Pool.names()
      [:default]
  """
  @spec names() :: [atom()]
  def names, do: for(name <- Succession.names(Server), {:ok, _} <- [Shared.fetch(name)], do: name)

  @doc false
  @spec fetch_or_start(atom()) :: {:ok, Shared.t()} | {:error, Error.reason()}
  def fetch_or_start(name) do
    with {:error, :pool_not_found} <- Shared.fetch(name),
         :ok <- Snakepit.Application.start_configured_pool(name),
         do: Shared.fetch(name)
  end
end
