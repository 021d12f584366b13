defmodule Snakepit.Application do
  @moduledoc false
  # Starts the pools that the application environment describes, if it describes any.

  use Application

  alias Snakepit.{Config, Endpoint, Jobs, Log, Metrics, Pool, Progress, Status, Telemetry}

  @supervisor Snakepit.Supervisor

  @impl true
  def start(_type, _args) do
    Log.configure!()
    pools = for options <- Config.pools_from_env(), do: {Pool, options}
    # Stopped in reverse, so that running jobs may finish while there are pools.
    jobs = {Jobs, Application.get_env(:snakepit, :jobs, [])}

    observing = [
      Metrics.Store,
      Telemetry.Cancellations,
      Status.Keeper,
      Log.Client,
      Progress.Screen
    ]

    serving = pools ++ [jobs] ++ Endpoint.configured()
    children = [Pool.Succession, Jobs.Progress] ++ observing ++ serving
    Supervisor.start_link(children, strategy: :one_for_one, name: @supervisor)
  end

  @doc """
  Starts the configured pool when it was configured only after the application had started,
  as a test or a script does.
  """
  @spec start_configured_pool(atom()) :: :ok | {:error, Snakepit.Error.reason()}
  def start_configured_pool(name) do
    configured = Enum.find(Config.pools_from_env(), &(Keyword.get(&1, :name, :default) == name))

    with options when is_list(options) <- configured,
         true <- is_pid(Process.whereis(@supervisor)) do
      start_pool(options)
    else
      _not_ours -> {:error, :pool_not_found}
    end
  end

  defp start_pool(options) do
    case Supervisor.start_child(@supervisor, {Pool, options}) do
      {:ok, _pid} -> :ok
      {:error, {:already_started, _pid}} -> :ok
      {:error, :already_present} -> {:error, :pool_not_found}
      {:error, reason} -> {:error, start_error(reason)}
    end
  end

  # The reason of the worker that could not start is what helps; the rest is supervision.
  defp start_error(%Snakepit.Error{} = error), do: error
  defp start_error({:shutdown, reason}), do: start_error(reason)
  defp start_error({:failed_to_start_child, _id, reason}), do: start_error(reason)
  defp start_error({reason, child}) when elem(child, 0) == :child, do: start_error(reason)
  defp start_error({:EXIT, {%ArgumentError{} = error, _stack}}), do: raise(error)
  defp start_error(_other), do: :grpc_unavailable
end
