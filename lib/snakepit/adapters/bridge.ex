defmodule Snakepit.Adapters.Bridge do
  @moduledoc false
  # Snakepit's own Python worker: which interpreter, which script, and the arguments that
  # `grpc_bridge.py --help` explains.

  alias Snakepit.{Adapter, Config, Error}
  alias Snakepit.Worker.Address

  @no_session_limit 2_147_483_647
  @no_session_ttl 9_007_199_254_740_992

  @spec executable_path() :: Path.t()
  def executable_path do
    from_environment() || from_project() || raise missing()
  end

  @spec script_path() :: Path.t()
  def script_path, do: Application.app_dir(:snakepit, "priv/python/grpc_bridge.py")

  @doc """
  The arguments of a worker that serves by `transport`.
  """
  @spec args(Adapter.worker(), atom()) :: [String.t()]
  def args(worker, transport), do: transport(transport) ++ args(worker)

  @doc """
  The arguments of every worker that is like Snakepit's own, in whatever language.
  """
  @spec args(Adapter.worker()) :: [String.t()]
  def args(%{id: id, address: address, config: config}) do
    {_option, runtime} = Config.runtime(config)
    Address.args(address) ++ limits(config, id) ++ imports(runtime) ++ runtime.args
  end

  defp transport(:native), do: []
  defp transport(name), do: ["--transport", name |> to_string() |> String.replace("_", "-")]

  defp limits(config, worker_id) do
    [
      worker_id: worker_id,
      capacity: config.max_concurrent_streams,
      max_message_size: config.max_message_size,
      cancel_grace_ms: config.cancel_grace_ms,
      shutdown_timeout_ms: config.shutdown_timeout,
      # The pool says when a session is over; a worker that forgot one by itself would
      # show its next call an empty one.
      max_sessions: @no_session_limit,
      session_ttl_ms: @no_session_ttl
    ]
    |> Enum.flat_map(fn {name, value} -> [option(name), to_string(value)] end)
  end

  defp imports(runtime) do
    Enum.flat_map(runtime.path, &["--path", Path.expand(&1)]) ++
      Enum.flat_map(runtime.modules, &["--module", &1])
  end

  defp option(name), do: "--" <> (name |> to_string() |> String.replace("_", "-"))

  defp from_environment do
    with name when name not in [nil, ""] <- System.get_env("SNAKEPIT_PYTHON") do
      System.find_executable(name) || raise(not_found(name))
    else
      _unset -> nil
    end
  end

  defp from_project do
    path = Path.expand(".venv/bin/python")
    if File.exists?(path), do: path
  end

  defp not_found(name) do
    Error.exception(
      kind: :worker_crashed,
      message: "SNAKEPIT_PYTHON names #{inspect(name)}, and there is no such program."
    )
  end

  defp missing do
    Error.exception(
      kind: :worker_crashed,
      message:
        "No Python for the workers: there is no #{Path.expand(".venv/bin/python")}. Run " <>
          "`mix snakepit.setup` to make it, or name an interpreter with SNAKEPIT_PYTHON or " <>
          "the pool option python: [executable: path]."
    )
  end
end
