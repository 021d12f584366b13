defmodule Snakepit.Pool.Drain do
  @moduledoc false
  # The last child of a pool, so the first to be stopped: it closes the pool for
  # calls, lets the running ones finish, and then stops all workers at once.

  use GenServer

  alias Snakepit.{Config, GRPCWorker}
  alias Snakepit.Pool.{Server, Shared}

  @spec child_spec(Config.t()) :: Supervisor.child_spec()
  def child_spec(config) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [config]},
      shutdown: config.shutdown_timeout + 1_000
    }
  end

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(%Config{} = config), do: GenServer.start_link(__MODULE__, config)

  @impl true
  def init(config) do
    Process.flag(:trap_exit, true)

    with {:ok, pool} <- Shared.fetch(config.name),
         :ok <- Server.open(pool.server) do
      {:ok, pool}
    else
      {:error, reason} -> {:stop, reason}
    end
  end

  @impl true
  def terminate(_reason, pool) do
    Server.drain(pool.server, pool.config.shutdown_timeout)

    for {_index, %{pid: pid}} when is_pid(pid) <- Shared.workers(pool),
        do: GRPCWorker.stop_process(pid)
  end
end
