defmodule Snakepit.Pool.Gate do
  @moduledoc false
  # Lets the start of a pool finish only when its workers are ready, and fail when one of
  # them cannot start. A function in the supervisor's list of children, not a process.

  require Logger

  alias Snakepit.{Config, Error}
  alias Snakepit.Pool.{Server, Shared}

  # A worker that takes too long says so itself, with its last lines; this is for the case
  # that it cannot.
  @slack 1_000

  @spec child_spec(Config.t()) :: Supervisor.child_spec()
  def child_spec(config), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [config]}}

  @spec start_link(Config.t()) :: :ignore | {:error, Snakepit.Error.reason()}
  def start_link(%Config{} = config) do
    with {:ok, pool} <- Shared.fetch(config.name),
         :ok <- Server.await_ready(pool.server, config.worker_init_timeout + @slack) do
      :ignore
    else
      {:error, reason} when config.tolerant ->
        Logger.warning(
          "The pool #{inspect(config.name)} has no worker yet; there is a fallback. " <>
            Error.message(reason)
        )

        :ignore

      {:error, reason} ->
        {:error, reason}
    end
  end
end
