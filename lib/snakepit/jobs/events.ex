defmodule Snakepit.Jobs.Events do
  @moduledoc false
  # What is told of the life of a job.

  alias Snakepit.Jobs.Job
  alias Snakepit.Telemetry

  @spec submitted(atom(), Job.t()) :: :ok
  def submitted(jobs, job) do
    started = Telemetry.started_at(System.monotonic_time())
    Telemetry.event([:job, :start], started, metadata(jobs, job))
  end

  @doc """
  A job has its last state. `crash` is what its process ended with, if that was no answer.
  """
  @spec finished(atom(), Job.t(), term()) :: :ok
  def finished(jobs, %Job{} = job, crash \\ nil) do
    started = job.started_at || job.finished_at

    measurements = %{
      duration: native(job.finished_at - job.submitted_at),
      queue_time: native(started - job.submitted_at),
      run_time: native(job.finished_at - started)
    }

    if crash do
      {kind, reason, stacktrace} = raised(crash)
      raised = %{kind: kind, reason: reason, stacktrace: stacktrace}
      Telemetry.event([:job, :exception], measurements, Map.merge(metadata(jobs, job), raised))
    else
      ended = %{state: job.state, reason: job.reason}
      Telemetry.event([:job, :stop], measurements, Map.merge(metadata(jobs, job), ended))
    end
  end

  @doc """
  A job is cancelled, and its call with it.
  """
  @spec canceled(String.t()) :: :ok
  def canceled(id), do: Telemetry.Cancellations.because(id, :job_canceled)

  defp raised({reason, stacktrace}) when is_list(stacktrace), do: {:error, reason, stacktrace}
  defp raised(reason), do: {:exit, reason, []}

  defp metadata(jobs, job), do: %{jobs: jobs, job_id: job.id, command: job.command}

  # The clock may have been set back.
  defp native(us), do: System.convert_time_unit(max(us, 0), :microsecond, :native)
end
