defmodule Snakepit.Jobs.Outcome do
  @moduledoc false
  # What a finished job gave, put together again.

  alias Snakepit.Error
  alias Snakepit.Jobs.{Board, Job, Results, Watch}

  @doc """
  The result of the job, waiting for its end until `timeout` has passed.
  """
  @spec await(String.t(), map()) :: {:ok, map()} | {:error, Error.reason()}
  def await(id, options) do
    with {:ok, watch} <- Watch.open(id, %{jobs: options.jobs, since_seq: 0}) do
      try do
        with :done <- Watch.await_end(watch, options.timeout),
             {:ok, job} <- Board.job(watch.board, id),
             do: of(watch.board, job)
      after
        Watch.close(watch)
      end
    end
  end

  @spec of(Board.t(), Job.t()) :: {:ok, map()} | {:error, Error.reason()}
  def of(board, %Job{state: "completed", id: id, results: results}) do
    rest = Board.rest(board, id)

    case Board.key(board, id) do
      nil -> {:ok, rest}
      "rows" -> {:ok, Map.put(rest, "rows", rows(results))}
      "counts" -> {:ok, Map.put(rest, "counts", Map.new(rows(results)))}
    end
  rescue
    # Deleted a moment ago.
    ArgumentError -> with {:ok, _job} <- Board.job(board, id), do: {:error, :draining}
  end

  def of(_board, %Job{reason: reason}), do: {:error, reason}

  defp rows(results), do: Results.slice(results, 0, Results.count(results))
end
