defmodule Snakepit.Worker.Crash do
  @moduledoc false
  # What is said about a worker whose process has ended or could not start.

  alias Snakepit.Error
  alias Snakepit.Worker.{OsProcess, Output}

  @doc """
  The error with the last lines of the worker.
  """
  @spec error(String.t(), OsProcess.t() | nil, Output.t(), String.t()) :: Error.t()
  def error(id, process, output, what) do
    lines =
      case Output.last_lines(output) do
        [] -> " It wrote nothing."
        lines -> " Its last lines:\n\n" <> Enum.map_join(lines, "\n", &("    " <> &1))
      end

    %Error{
      kind: :worker_crashed,
      worker_id: id,
      message: "Worker #{id} (#{process_name(process)}) #{what}.#{lines}"
    }
  end

  @doc """
  What is added when the worker has ended so often that its circuit is open.
  """
  @spec circuit_open(pos_integer(), non_neg_integer()) :: String.t()
  def circuit_open(failures, delay) do
    ", the #{failures}th time in a row. Its circuit is open: no calls for it until it " <>
      "starts again in #{delay} ms"
  end

  defp process_name(%OsProcess{os_pid: os_pid}), do: "process #{os_pid}"
  defp process_name(nil), do: "no process"
end
