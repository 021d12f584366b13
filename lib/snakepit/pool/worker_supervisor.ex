defmodule Snakepit.Pool.WorkerSupervisor do
  @moduledoc """
  Supervises the workers of a pool: one `Snakepit.GRPCWorker` for each index.

  A worker replaces its Python process by itself, so this supervisor acts only when the
  Elixir side of a worker crashes.
  """

  use Supervisor

  alias Snakepit.{Config, GRPCWorker}

  @doc false
  @spec start_link(Config.t()) :: Supervisor.on_start()
  def start_link(%Config{} = config), do: Supervisor.start_link(__MODULE__, config)

  @impl true
  def init(config) do
    workers =
      for index <- 0..(config.pool_size - 1) do
        Supervisor.child_spec({GRPCWorker, {config, index}}, id: {GRPCWorker, index})
      end

    Supervisor.init(workers, strategy: :one_for_one, max_restarts: 3 * config.pool_size)
  end
end
