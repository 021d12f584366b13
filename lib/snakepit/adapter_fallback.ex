defmodule Snakepit.AdapterFallback do
  @moduledoc """
  Calls that another adapter serves while the first one cannot.

      config :snakepit,
        adapter_module: Snakepit.Adapters.GRPCPython,
        fallback_adapter: Snakepit.Adapters.GenericPythonV2

      Snakepit.AdapterFallback.execute_with_fallback("ping", %{})

  The fallback has a pool of its own, with the options of the first one. It is started when it is
  needed for the first time and ends with the first one, which goes on to start its own workers, and
  serves all calls as soon as it succeeds.

  A session does not move: what a handler keeps in it stays in the pool where it began.
  """

  alias Snakepit.{Config, Error, Pool, Request}
  alias Snakepit.Pool.Shared

  @default_timeout 30_000

  @doc """
  Runs a command like `Snakepit.execute/3`. When no worker of the pool can be reached, it runs in
  a pool of the fallback adapter: the pool's option `:fallback_adapter`, or else that of the
  application environment. `:grpc_unavailable` when there is none, or it cannot start either.

      iex> Snakepit.AdapterFallback.execute_with_fallback("echo", %{text: "hello"})
      {:ok, %{"text" => "hello"}}
  """
  @spec execute_with_fallback(String.t(), map(), Snakepit.opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute_with_fallback(command, args, opts \\ []) do
    started_at = Request.now()
    opts = if is_list(opts), do: opts, else: [timeout: opts]

    with {:error, :grpc_unavailable} <- Pool.execute(command, args, opts),
         {:ok, fallback} <- fallback(Keyword.get(opts, :pool, :default)) do
      timeout = remaining(Keyword.get(opts, :timeout, @default_timeout), started_at)
      Pool.execute(command, args, Keyword.merge(opts, pool: fallback, timeout: timeout))
    end
  end

  # One deadline for all of it.
  defp remaining(:infinity, _started_at), do: :infinity
  defp remaining(timeout, started_at), do: max(started_at + timeout - Request.now(), 0)

  defp fallback(name) do
    with {:ok, %{config: config}} <- Shared.fetch(name),
         adapter when adapter != nil <- adapter(config),
         :ok <- start(config, fallback_config(config, adapter)) do
      {:ok, fallback_name(config)}
    else
      _none -> {:error, :grpc_unavailable}
    end
  end

  defp adapter(config),
    do: config.fallback_adapter || Application.get_env(:snakepit, :fallback_adapter)

  defp fallback_name(config), do: Module.concat(config.name, Fallback)

  defp fallback_config(config, adapter) do
    Config.for_adapter(
      %{config | name: fallback_name(config), fallback_adapter: nil, tolerant: false},
      adapter
    )
  end

  # Below the pool that it stands in for, so that it ends with it. If it fails, nobody else does:
  # the next call starts it again.
  defp start(config, fallback) do
    child = %{
      id: {Pool, fallback.name},
      start: {Pool, :start_one, [fallback]},
      type: :supervisor,
      restart: :temporary
    }

    with {:error, :pool_not_found} <- running(fallback.name),
         {:error, reason} <- start_child(config.name, child),
         do: started(reason)
  end

  defp running(name) do
    with {:ok, _pool} <- Shared.fetch(name), do: :ok
  end

  defp start_child(name, child) do
    with {:ok, _pid} <- Supervisor.start_child(Pool.supervisor(name), child), do: :ok
  catch
    :exit, _stopped -> {:error, :grpc_unavailable}
  end

  # Another caller was first.
  defp started({:already_started, _pid}), do: :ok
  defp started(_failed), do: {:error, :grpc_unavailable}
end
