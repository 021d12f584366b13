defmodule Snakepit.Pool.WorkerSupervisor do
  @moduledoc """
  Supervises the workers of a pool: one `Snakepit.GRPCWorker` for each index.

  With `:recycle` there are more of them while a worker is replaced.

  A worker replaces its Python process by itself, so this supervisor acts only when the
  Elixir side of a worker crashes.
  """

  use Supervisor

  alias Snakepit.{Config, GRPCWorker}
  alias Snakepit.Pool.Slots

  @doc false
  @spec start_link(Config.t()) :: Supervisor.on_start()
  def start_link(%Config{} = config), do: Supervisor.start_link(__MODULE__, config)

  @doc false
  # Another worker besides those the pool began with.
  @spec start_worker(pid(), Config.t(), Slots.worker()) :: Supervisor.on_start_child()
  def start_worker(supervisor, config, index),
    do: Supervisor.start_child(supervisor, child(config, index))

  @doc false
  @spec stop_worker(pid(), Slots.worker()) :: :ok
  def stop_worker(supervisor, index) do
    _gone_already = Supervisor.terminate_child(supervisor, {GRPCWorker, index})
    _gone_already = Supervisor.delete_child(supervisor, {GRPCWorker, index})
    :ok
  end

  defp child(config, index),
    do: Supervisor.child_spec({GRPCWorker, {config, index}}, id: {GRPCWorker, index})

  @impl true
  def init(config) do
    workers = for index <- 0..(config.pool_size - 1), do: child(config, index)

    Supervisor.init(workers, strategy: :one_for_one, max_restarts: 3 * config.pool_size)
  end
end
