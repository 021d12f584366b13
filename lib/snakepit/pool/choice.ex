defmodule Snakepit.Pool.Choice do
  @moduledoc false
  # A pool that may have one of several adapters: it is the first whose workers start. This supervisor
  # stands above the pool, as whoever tries hears the exits of those that fail; when
  # the pool has to be started again, it chooses again.

  use Supervisor

  require Logger

  alias Snakepit.{Config, Error, Pool}

  @spec start_link([Config.t()], atom()) :: Supervisor.on_start()
  def start_link(configs, name), do: Supervisor.start_link(__MODULE__, configs, name: name)

  @impl true
  def init([first | _] = configs) do
    # With a fallback, the first choice goes on to be tried.
    tolerant = if first.fallback_adapter, do: [%{first | tolerant: true}], else: []

    pool = %{
      id: Pool,
      start: {__MODULE__, :start_first, [configs ++ tolerant]},
      type: :supervisor
    }

    Supervisor.init([pool], strategy: :one_for_one)
  end

  @doc false
  @spec start_first([Config.t()]) :: Supervisor.on_start()
  def start_first([]), do: {:error, :grpc_unavailable}

  def start_first([config | others]) do
    case Supervisor.start_link(Pool, config) do
      {:ok, pool} ->
        {:ok, pool}

      {:error, reason} ->
        Logger.warning(
          "The pool #{inspect(config.name)} cannot start with #{inspect(config.adapter)}: " <>
            text(reason)
        )

        start_first(others)
    end
  end

  defp text({:shutdown, reason}), do: text(reason)
  defp text({:failed_to_start_child, _id, reason}), do: text(reason)
  defp text(%Error{} = error), do: Error.message(error)

  defp text(reason),
    do: if(reason in Error.conditions(), do: Error.message(reason), else: inspect(reason))
end
