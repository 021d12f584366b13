defmodule Snakepit.Jobs.Job do
  @moduledoc false
  # What is known of one job, and its states: queued, running, and then one of four for good.

  alias Snakepit.Error
  alias Snakepit.Jobs.Results

  @enforce_keys [:id, :number, :command, :submitted_at]
  defstruct [
    :id,
    :number,
    :command,
    :submitted_at,
    :started_at,
    :finished_at,
    :finished_ms,
    :progress,
    :progress_message,
    :reason,
    :results,
    state: "queued",
    seq: 0,
    bytes: 0
  ]

  @type t :: %__MODULE__{
          id: String.t(),
          number: pos_integer(),
          command: String.t(),
          submitted_at: integer(),
          started_at: integer() | nil,
          finished_at: integer() | nil,
          finished_ms: integer() | nil,
          progress: number() | nil,
          progress_message: String.t() | nil,
          reason: Error.reason() | nil,
          results: Results.t() | nil,
          state: String.t(),
          seq: non_neg_integer(),
          bytes: non_neg_integer()
        }
  @type update :: %{String.t() => term()}

  @final ~w(completed failed canceled expired)

  @doc """
  Every state a job can have.
  """
  @spec states() :: [String.t()]
  def states, do: ["queued", "running" | @final]

  @doc """
  A name that nobody can guess, with the number of the job.
  """
  @spec id(pos_integer()) :: String.t()
  def id(number) do
    random = :crypto.strong_rand_bytes(10) |> Base.encode32(case: :lower, padding: false)
    "job_#{random}_#{number}"
  end

  @spec number(term()) :: {:ok, pos_integer()} | :error
  def number("job_" <> <<_random::binary-16>> <> "_" <> number) do
    case Integer.parse(number) do
      {number, ""} -> {:ok, number}
      _other -> :error
    end
  end

  def number(_other), do: :error

  @spec final?(t()) :: boolean()
  def final?(%__MODULE__{state: state}), do: state in @final

  @doc """
  The job with its next update, whose number is one more than that of the last.
  """
  @spec update(t(), keyword()) :: {t(), update()}
  def update(%__MODULE__{} = job, changes) do
    job = struct!(%{job | seq: job.seq + 1}, changes)
    {job, describe(job, System.os_time(:microsecond))}
  end

  @spec start(t()) :: {t(), update()}
  def start(job), do: update(job, state: "running", started_at: System.os_time(:microsecond))

  @spec progress(t(), number(), String.t() | nil) :: {t(), update()}
  def progress(job, fraction, message),
    do: update(job, progress: fraction, progress_message: message)

  @spec finish(t(), String.t(), Error.reason() | nil, non_neg_integer()) :: {t(), update()}
  def finish(job, state, reason, bytes) when state in @final do
    update(job,
      state: state,
      reason: reason,
      bytes: bytes,
      finished_at: System.os_time(:microsecond),
      finished_ms: System.monotonic_time(:millisecond)
    )
  end

  @doc """
  What `Snakepit.Jobs.status/1` tells.
  """
  @spec status(t()) :: %{String.t() => term()}
  def status(%__MODULE__{} = job) do
    job
    |> describe(job.finished_at || job.started_at || job.submitted_at)
    |> Map.merge(%{
      "command" => job.command,
      "submitted_at" => job.submitted_at,
      "started_at" => job.started_at,
      "finished_at" => job.finished_at,
      "rows" => if(job.results, do: Results.count(job.results), else: 0)
    })
  end

  defp describe(job, timestamp) do
    %{
      "job_id" => job.id,
      "state" => job.state,
      "seq" => job.seq,
      "timestamp" => timestamp,
      "error_message" => job.reason && Error.message(job.reason),
      "is_final" => final?(job)
    }
    |> put("progress", job.progress)
    |> put("progress_message", job.progress_message)
  end

  defp put(update, _key, nil), do: update
  defp put(update, key, value), do: Map.put(update, key, value)
end
