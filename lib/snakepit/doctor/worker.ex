defmodule Snakepit.Doctor.Worker do
  @moduledoc false
  # Whether a worker comes up and answers.

  alias Snakepit.{Config, Doctor, Error, Pool}
  alias Snakepit.Doctor.JavaScript

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
      {runtime, [env: options.env] ++ executable_option(options)}
    ]

    # The pool is linked to whoever starts it, and may fail.
    task = Task.async(fn -> start_and_ping(name, options, runtime) end)

    case Task.yield(task, 30_000) || Task.shutdown(task) do
      {:ok, result} -> result
      _too_long -> {:error, "did not start within 30 s", mend(runtime)}
    end
  end

  defp start_and_ping(name, options, runtime) do
    Process.flag(:trap_exit, true)
    # Mix tasks do not start the application, which would start the user's pools.
    Pool.Succession.ensure_started()
    started = System.monotonic_time(:millisecond)

    with {:ok, pool} <- Pool.start_link(options),
         answer = Pool.execute("ping", %{}, pool: name),
         :ok <- Supervisor.stop(pool),
         {:ok, _pong} <- answer do
      {:ok, "starts and answers, in #{System.monotonic_time(:millisecond) - started} ms"}
    else
      {:error, reason} -> {:error, reason |> root() |> Error.message(), mend(runtime)}
    end
  end

  defp root({:shutdown, {:failed_to_start_child, _id, reason}}), do: root(reason)
  defp root(reason), do: reason

  defp executable_option(%{executable: nil}), do: []
  defp executable_option(%{executable: path}), do: [executable: path]

  defp mend(:python), do: "mix snakepit.setup"
  defp mend(:javascript), do: JavaScript.setup()
end
