defmodule Snakepit.Doctor.Worker do
  @moduledoc false
  # Whether a worker comes up and answers.

  alias Snakepit.{Adapter, Config, Doctor, Error, Pool}
  alias Snakepit.Doctor.JavaScript

  @setup "mix snakepit.setup"

  @doc """
  Starts a pool of one worker without the user's modules, and calls it.
  """
  @spec check(Config.t()) :: Doctor.result()
  def check(config) do
    {runtime, options} = Config.runtime(config)
    name = :"snakepit_doctor_#{System.unique_integer([:positive])}"

    options = [
      {:name, name},
      {:pool_size, 1},
      {:adapter, config.adapter},
      {runtime, [env: options.env] ++ executable_option(options) ++ args_option(config, options)}
    ]

    # The pool is linked to whoever starts it, and may fail.
    task = Task.async(fn -> start_and_ping(name, options, mend(config)) end)

    case Task.yield(task, 30_000) || Task.shutdown(task) do
      {:ok, result} -> result
      _too_long -> {:error, "did not start within 30 s", mend(config)}
    end
  end

  defp start_and_ping(name, options, mend) do
    Process.flag(:trap_exit, true)
    # Mix tasks do not start the application, which would start the user's pools.
    Pool.Succession.ensure_started()
    started = System.monotonic_time(:millisecond)

    with {:ok, pool} <- Pool.start_link(options),
         answer = Pool.execute("ping", %{}, pool: name),
         :ok <- Supervisor.stop(pool),
         :ok <- answered(answer) do
      {:ok, "starts and answers, in #{System.monotonic_time(:millisecond) - started} ms"}
    else
      {:error, reason} -> {:error, reason |> root() |> Error.message(), mend}
    end
  end

  defp root({:shutdown, {:failed_to_start_child, _id, reason}}), do: root(reason)
  defp root(reason), do: reason

  defp executable_option(%{executable: nil}), do: []
  defp executable_option(%{executable: path}), do: [executable: path]

  # A program of another kind need not know the command.
  defp answered({:ok, _pong}), do: :ok
  defp answered({:error, %Error{kind: kind}}) when kind in [:python, :unknown_command], do: :ok
  defp answered({:error, reason}), do: {:error, reason}

  # Those of our own workers name modules, which are left out.
  defp args_option(%{adapter: adapter}, %{args: args}),
    do: if(Adapter.own_worker?(adapter), do: [], else: [args: args])

  defp mend(%{adapter: adapter} = config) do
    case Config.runtime(config) do
      {:javascript, _options} -> JavaScript.setup()
      _python -> if Adapter.own_worker?(adapter), do: @setup, else: "look at #{inspect(adapter)}"
    end
  end
end
