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

  alias Snakepit.{Config, Error, GRPC, Progress, Request}
  alias Snakepit.Pool.{Calls, Choice, Drain, Gate, Lease, Recycler, Server, SessionKeeper, Shared}
  alias Snakepit.Pool.WorkerSupervisor
  alias Snakepit.Worker.Channel

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
    with {:ok, request} <- Request.new(command, args, opts, Calls.default_timeout()),
         {:ok, pool} <- fetch_or_start(request.pool) do
      Calls.execute(pool, :any, request)
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
      Calls.stream(pool, :any, request, callback)
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
    Calls.check_callback!(callback)
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
         {:ok, lease, span, handle} <- Calls.open_stream(pool, request, start) do
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

  defp run_stream(shape, command, args, opts, run) do
    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool} <- fetch_or_start(request.pool),
         do: Calls.stream_on_lease(pool, :any, request, shape, &run.(Channel.grpc(&1), &2))
  end

  @doc """
  The names of the pools that run.

      iex> Snakepit.Pool.names()
      [:default]
  """
  @spec names() :: [atom()]
  def names, do: Enum.map(Shared.all(), & &1.config.name)

  @doc false
  @spec fetch_or_start(atom()) :: {:ok, Shared.t()} | {:error, Error.reason()}
  def fetch_or_start(name) do
    with {:error, :pool_not_found} <- Shared.fetch(name),
         :ok <- Snakepit.Application.start_configured_pool(name),
         do: Shared.fetch(name)
  end
end
