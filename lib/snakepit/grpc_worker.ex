defmodule Snakepit.GRPCWorker do
  @moduledoc """
  One worker of a pool: a Python process and the connection to it, by gRPC or through pipes.

  The process of this module starts Python (or what else the `Snakepit.Adapter` names), waits until
  it is ready, connects, and announces the worker to the pool. When Python ends, the calls on it get
  `:worker_exited` and a new process is started, at once the first time and with growing
  pauses if it keeps ending. After five times in a row its circuit is open: the log says so, and
  calls that only this worker could serve get `:grpc_unavailable` at once until a start succeeds.
  What Python prints goes to `Logger` with `worker_id` in the metadata.

  The functions below run a call on one particular worker, found with
  `Snakepit.list_workers/1`:

      iex> [%{pid: worker} | _] = Snakepit.list_workers()
      iex> Snakepit.GRPCWorker.execute(worker, "ping", %{})
      {:ok, %{"message" => "pong", "status" => "ok"}}

  Only the way to the worker is asked of its process: arguments, results and chunks never
  pass through it. A call takes a slot of the worker and waits for one if there is none.
  """

  alias Snakepit.{Config, Error, GRPC, Pool, Request, Worker}
  alias Snakepit.Pool.Calls

  @type worker :: GenServer.server()

  @doc """
  Runs a command on this worker. `opts` is a timeout or the options of `Snakepit.execute/3`.
  """
  @spec execute(worker(), String.t(), map(), Snakepit.opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute(worker, command, args, opts \\ []) do
    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool, index} <- locate(worker),
         do: Calls.execute(pool, index, request)
  end

  @doc """
  Runs a streaming command on this worker, calling `callback` with every chunk.
  """
  @spec execute_stream(worker(), String.t(), map(), (map() -> term()), Snakepit.opts()) ::
          :ok | {:error, Error.reason()}
  def execute_stream(worker, command, args, callback, opts \\ []) do
    with {:ok, request} <- Request.new(command, args, opts),
         {:ok, pool, index} <- locate(worker),
         do: Calls.stream(pool, index, request, callback)
  end

  @doc """
  Runs a command in a session on this worker: `:session_not_found` if it lives on another.
  """
  @spec execute_in_session(worker(), String.t(), String.t(), map(), Snakepit.opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute_in_session(worker, session_id, command, args, opts \\ []) do
    with {:ok, request} <- Request.new(command, args, Request.in_session(opts, session_id)),
         {:ok, pool, index} <- locate(worker),
         do: Calls.execute(pool, index, request)
  end

  @doc """
  Asks the Python process for its health: a map with `"healthy"`, `"uptime_ms"`,
  `"active_requests"`, `"commands"` and more.

      iex> [%{pid: worker} | _] = Snakepit.list_workers()
      iex> {:ok, health} = Snakepit.GRPCWorker.get_health(worker)
      iex> {health["healthy"], health["transport"], "ping" in health["commands"]}
      {true, "native", true}
  """
  @spec get_health(worker()) :: {:ok, map()} | {:error, Error.reason()}
  def get_health(worker) do
    with {:ok, pool, _index} <- locate(worker),
         {:ok, channel} <- get_channel(worker),
         do: Worker.Channel.health(channel, pool.config.health.timeout)
  end

  @doc """
  What the pool knows about this worker, as in `Snakepit.list_workers/1`.
  """
  @spec get_info(worker()) :: {:ok, map()} | {:error, Error.reason()}
  def get_info(worker) do
    with {:ok, pool, index} <- locate(worker) do
      case Pool.Shared.worker(pool, index) do
        nil -> {:error, :grpc_unavailable}
        row -> {:ok, Pool.Stats.worker(pool.slots, index, row)}
      end
    end
  end

  @doc """
  The connection to the worker, for `Snakepit.GRPC.Client` if it speaks gRPC.
  """
  @spec get_channel(worker()) :: {:ok, GRPC.Channel.t() | struct()} | {:error, Error.reason()}
  def get_channel(worker) do
    with {:ok, pool, index} <- locate(worker),
         {:ok, channel} <- Pool.Shared.channel(pool, index) do
      {:ok, channel}
    else
      {:error, reason} -> {:error, reason}
      _down -> {:error, :grpc_unavailable}
    end
  end

  @doc false
  @spec stop_process(pid()) :: :ok
  def stop_process(worker) do
    send(worker, :stop_process)
    :ok
  end

  @doc false
  def child_spec({%Config{} = config, index}) do
    %{
      id: {__MODULE__, index},
      start: {__MODULE__, :start_link, [{config, index}]},
      # Worker.Server waits this long for Python to end, and then kills it.
      shutdown: config.shutdown_timeout + 3_000
    }
  end

  @doc false
  @spec start_link({Config.t(), Pool.Slots.worker()}) :: GenServer.on_start()
  def start_link({%Config{}, _index} = init), do: GenServer.start_link(Worker.Server, init)

  defp locate(worker) do
    GenServer.call(worker, :locate)
  catch
    :exit, _gone -> {:error, :grpc_unavailable}
  end
end
