defmodule Snakepit.Worker.CommandLine do
  @moduledoc false
  # How the program of a worker is started.

  alias Snakepit.{Adapter, Config, Error, Log}
  alias Snakepit.Worker.{Address, Guard}

  @enforce_keys [:executable, :args, :env]
  defstruct [:executable, :args, :env]

  @type t :: %__MODULE__{
          executable: Path.t(),
          args: [String.t()],
          env: %{String.t() => String.t()}
        }

  @thread_variables ~w(OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS
                       NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS BLIS_NUM_THREADS)

  @doc """
  The command line of a worker; `output` is where one that is spoken to through pipes writes text.
  """
  @spec build(Config.t(), String.t(), Address.t() | nil, Path.t() | nil) ::
          {:ok, t()} | {:error, Error.t()}
  def build(%Config{adapter: adapter} = config, worker_id, address, output \\ nil) do
    with {:ok, executable} <- executable(config) do
      args = Adapter.script(adapter) ++ worker_args(config, worker_id, address)
      env = env(config, address, output)
      command = %__MODULE__{executable: executable, args: args, env: env}

      # Snakepit's own workers see to it themselves that they end with the VM.
      {:ok, if(Adapter.own_worker?(adapter), do: command, else: guarded(command, config))}
    end
  end

  defp guarded(command, %{protocol: :grpc}), do: Guard.wrap(command, :free)
  defp guarded(command, _pipes), do: Guard.wrap(command, :requests)

  @doc """
  The program that runs the workers.
  """
  @spec executable(Config.t()) :: {:ok, Path.t()} | {:error, Error.t()}
  def executable(%Config{adapter: adapter} = config) do
    case Config.runtime(config) do
      {_option, %{executable: nil}} -> Adapter.program(adapter)
      {option, %{executable: name}} -> named(option, name)
    end
  end

  defp named(option, name) do
    case System.find_executable(name) || System.find_executable(Path.expand(name)) do
      nil ->
        {:error,
         %Error{
           kind: :worker_crashed,
           message:
             "The pool option #{option}: [executable: #{inspect(name)}] names a program that does not exist."
         }}

      path ->
        {:ok, Path.expand(path)}
    end
  end

  defp worker_args(%{adapter: adapter} = config, worker_id, address) do
    if Adapter.own_worker?(adapter),
      do: adapter.worker_args(%{id: worker_id, address: address, config: config}),
      else: Address.args(address) ++ elem(Config.runtime(config), 1).args
  end

  defp env(config, address, output) do
    {_option, runtime} = Config.runtime(config)

    %{"PYTHONUNBUFFERED" => "1"}
    |> Map.merge(threads(runtime[:threads]))
    |> Map.merge(runtime.env)
    |> Map.merge(Address.env(address))
    |> Map.merge(if output, do: %{"SNAKEPIT_OUTPUT" => output}, else: %{})
    |> Map.merge(log_level(config, Log.level(:worker)))
  end

  # A level that is set later on reaches the worker otherwise.
  defp log_level(_config, nil), do: %{}

  defp log_level(config, level) do
    if Adapter.own_worker?(config.adapter),
      do: %{"SNAKEPIT_LOG_LEVEL" => to_string(level)},
      else: %{}
  end

  # Each library reads its own variable, when it is loaded.
  defp threads(nil), do: %{}
  defp threads(count), do: Map.new(@thread_variables, &{&1, to_string(count)})
end
