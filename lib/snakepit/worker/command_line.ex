defmodule Snakepit.Worker.CommandLine do
  @moduledoc false
  # How the program of a worker is started: `grpc_bridge.py --help` explains the arguments.

  alias Snakepit.{Config, Error}
  alias Snakepit.Worker.Address

  @no_session_limit 2_147_483_647
  @no_session_ttl 9_007_199_254_740_992

  @enforce_keys [:executable, :args, :env]
  defstruct [:executable, :args, :env]

  @type t :: %__MODULE__{
          executable: Path.t(),
          args: [String.t()],
          env: %{String.t() => String.t()}
        }

  @thread_variables ~w(OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS
                       NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS BLIS_NUM_THREADS)

  @spec build(Config.t(), String.t(), Address.t()) :: {:ok, t()} | {:error, Error.t()}
  def build(%Config{adapter: adapter, python: python} = config, worker_id, address) do
    with {:ok, executable} <- executable(config) do
      args =
        [adapter.script_path() | adapter.script_args()] ++
          Address.args(address) ++ limits(config, worker_id) ++ imports(python) ++ python.args

      {:ok, %__MODULE__{executable: executable, args: args, env: env(python, address)}}
    end
  end

  @doc """
  The program that runs the workers.
  """
  @spec executable(Config.t()) :: {:ok, Path.t()} | {:error, Error.t()}
  def executable(%Config{adapter: adapter, python: %{executable: nil}}) do
    {:ok, adapter.executable_path()}
  rescue
    error in Error -> {:error, error}
  end

  def executable(%Config{python: %{executable: name}}) do
    case System.find_executable(name) || System.find_executable(Path.expand(name)) do
      nil ->
        {:error,
         %Error{
           kind: :worker_crashed,
           message:
             "The pool option python: [executable: #{inspect(name)}] names a program that does not exist."
         }}

      path ->
        {:ok, Path.expand(path)}
    end
  end

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

  defp imports(python) do
    Enum.flat_map(python.path, &["--path", Path.expand(&1)]) ++
      Enum.flat_map(python.modules, &["--module", &1])
  end

  defp env(python, address) do
    %{"PYTHONUNBUFFERED" => "1"}
    |> Map.merge(threads(python.threads))
    |> Map.merge(python.env)
    |> Map.merge(Address.env(address))
  end

  # Each library reads its own variable, when it is loaded.
  defp threads(nil), do: %{}
  defp threads(count), do: Map.new(@thread_variables, &{&1, to_string(count)})

  defp option(name), do: "--" <> (name |> to_string() |> String.replace("_", "-"))
end
