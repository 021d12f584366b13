defmodule Snakepit.Jobs do
  @moduledoc """
  Long work that nobody has to wait for: submit it, watch it, page through its results.

      iex> {:ok, job_id} = Snakepit.Jobs.submit("train", %{epochs: 10})
      iex> Snakepit.Jobs.watch(job_id, fn update -> send(self(), update["state"]) end)
      :ok
      iex> Snakepit.Jobs.result(job_id)
      {:ok, %{"epochs" => 10}}

  A job is one call of a command, or one stream, kept by Elixir: it goes on when the process that
  submitted it ends, and when its worker crashes this one job has failed.

  ## States

  A job is `"queued"` until it has a worker slot, then `"running"`, and then for good one of

  | state | `result/2` |
  |---|---|
  | `"completed"` | `{:ok, result}` |
  | `"failed"` | `{:error, reason}`, that of the call |
  | `"canceled"` | `{:error, :cancelled}` |
  | `"expired"`: it ran for longer than its `:timeout` | `{:error, :worker_timeout}` |

  An id that never was, or was deleted, is `{:error, :not_found}` everywhere; one of a job that is kept
  no longer is `{:error, :expired}`.

  ## Results

  The result of a command is kept as it is. Its `"rows"`, if that is a list, or else its `"counts"`, if
  that is a map, can be read in chunks with `stream_results/3`. The chunks of a streaming command are
  its rows, without `"is_final"`; they can be read while the job runs.

  ## Where jobs are kept

  In memory, by one service that starts with the application:

      config :snakepit, jobs: [max_concurrent_jobs: 20, retain_ms: :timer.hours(24)]

  More of them, each with its own limits, stand in a supervision tree as
  `{Snakepit.Jobs, name: MyApp.Jobs, max_concurrent_jobs: 2}`; functions find them by the option
  `jobs: MyApp.Jobs`. The options:

  #{Snakepit.Jobs.Options.docs(:service)}

  A running job is never dropped for another. When the service stops, jobs that wait fail with
  `:draining`, those that run may finish within `:shutdown_timeout`, and whoever still watches,
  reads or submits gets `{:error, :draining}`.
  """

  alias Snakepit.Error
  alias Snakepit.Jobs.{Batch, Board, Feed, Job, Options, Outcome, Pages, Server, Watch}

  @type job_id :: String.t()
  @type callback :: (map() -> term())

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    config = Options.validate!(:service, options)

    %{
      id: {__MODULE__, config.name},
      start: {Server, :start_link, [config]},
      shutdown: config.shutdown_timeout + 1_000
    }
  end

  @doc """
  Takes a job in and returns its id at once.

  #{Options.docs(:submit)}

  Errors: `:too_many_jobs` when `:max_queued_jobs` wait, `:draining`.
  """
  @spec submit(String.t(), map(), keyword()) :: {:ok, job_id()} | {:error, Error.reason()}
  def submit(command, args \\ %{}, opts \\ []) do
    options = Options.validate!(:submit, opts)

    with :ok <- check(command, args),
         {:ok, board} <- board(options) do
      order = %{command: command, args: args, options: options, owner: nil, notify: nil}
      Server.submit(board.server, order)
    end
  end

  @doc """
  What is known of a job: its last update (see `watch/3`) with `"command"`, `"rows"` (their number so
  far), and `"submitted_at"`, `"started_at"`, `"finished_at"` in microseconds since the Unix epoch.

      iex> {:ok, job_id} = Snakepit.Jobs.submit("ping")
      iex> {:ok, _result} = Snakepit.Jobs.result(job_id)
      iex> {:ok, status} = Snakepit.Jobs.status(job_id)
      iex> {status["command"], status["state"], status["rows"]}
      {"ping", "completed", 0}
  """
  @spec status(job_id(), jobs: atom()) :: {:ok, map()} | {:error, Error.reason()}
  def status(job_id, opts \\ []) do
    with {:ok, board} <- board(Options.validate!(:named, opts)),
         {:ok, job} <- Board.job(board, job_id),
         do: {:ok, Job.status(job)}
  end

  @doc """
  The result of a job, waiting for its end.

  #{Options.docs(:result)}
  """
  @spec result(job_id(), keyword()) :: {:ok, map()} | {:error, Error.reason()}
  def result(job_id, opts \\ []), do: Outcome.await(job_id, Options.validate!(:result, opts))

  @doc """
  Ends a job. Python is cancelled as with any other call, and the worker slot is free.

  `:ok` means that the job is canceled, now or before; `{:error, :job_finished}` that it has
  ended in another way. That does not change any more.

      iex> {:ok, job_id} = Snakepit.Jobs.submit("ping")
      iex> {:ok, _result} = Snakepit.Jobs.result(job_id)
      iex> Snakepit.Jobs.cancel(job_id)
      {:error, :job_finished}
  """
  @spec cancel(job_id(), jobs: atom()) :: :ok | {:error, Error.reason()}
  def cancel(job_id, opts \\ []) do
    with {:ok, board} <- board(Options.validate!(:named, opts)),
         do: Server.cancel(board.server, job_id)
  end

  @doc """
  The status of all jobs, as they were submitted.

  #{Options.docs(:list)}
  """
  @spec list(keyword()) :: [map()]
  def list(opts \\ []) do
    options = Options.validate!(:list, opts)

    case board(options) do
      {:ok, board} ->
        for job <- Board.jobs(board), options.state in [nil, job.state], do: Job.status(job)

      {:error, _not_there} ->
        []
    end
  end

  @doc """
  Forgets a job and its results. One that runs is canceled first.
  """
  @spec delete(job_id(), jobs: atom()) :: :ok | {:error, Error.reason()}
  def delete(job_id, opts \\ []) do
    with {:ok, board} <- board(Options.validate!(:named, opts)),
         do: Server.delete(board.server, job_id)
  end

  @doc """
  Follows a job: calls `callback` with every update until the last one, in this process, or gives
  them as an enumerable when the second argument is `:stream`.

  An update is a map with

    * `"job_id"`, `"state"`
    * `"seq"` - 1, 2, 3 and so on
    * `"timestamp"` - microseconds since the Unix epoch
    * `"progress"`, `"progress_message"` - when the command reports it with `ctx.progress`
    * `"error_message"` - a sentence, or nil
    * `"is_final"`
    * `"coalesced"` - how many updates right before this one are not given: of those about progress
      the last 64 are kept, and a slow consumer sees no more

  A watch that comes late gets the updates since the beginning, or `:since_seq`, first. It returns `:ok`
  after the last update and when the callback says `:halt`. The job does not notice.

  #{Options.docs(:watch)}
  """
  @spec watch(job_id(), callback(), keyword()) :: :ok | {:error, Error.reason()}
  @spec watch(job_id(), :stream, keyword()) :: Enumerable.t()
  def watch(job_id, consumer, opts \\ []),
    do: feed(Watch, job_id, consumer, Options.validate!(:watch, opts))

  @doc """
  Gives the rows of a job in chunks, to a callback or as an enumerable (`:stream`).

      iex> {:ok, job_id} = Snakepit.Jobs.submit("squares", %{to: 5})
      iex> for %{"rows" => rows} <- Snakepit.Jobs.stream_results(job_id, :stream, chunk_size: 2),
      ...>     do: Enum.map(rows, & &1["square"])
      [[1, 4], [9, 16], [25]]

  A chunk is a map with

    * `"job_id"`
    * `"rows"`, a list, or `"counts"`, a map: see above
    * `"chunk_index"` - from 0
    * `"total_chunks"` - nil while the job runs
    * `"is_final"`
    * `"cursor"` - with the option `:cursor`, reading goes on after this chunk

  The order is always the same. If the job did not complete, its rows are followed by
  `{:error, reason}` instead of a final chunk.

  #{Options.docs(:pages)}
  """
  @spec stream_results(job_id(), callback(), keyword()) :: :ok | {:error, Error.reason()}
  @spec stream_results(job_id(), :stream, keyword()) :: Enumerable.t()
  def stream_results(job_id, consumer, opts \\ []),
    do: feed(Pages, job_id, consumer, Options.validate!(:pages, opts))

  @doc """
  Runs every item of an enumerable as a job, and calls `callback` with what happens to each.

      iex> items = for n <- [1, 0], do: %{command: "compute", args: %{operation: "divide", a: 6, b: n}}
      iex> Snakepit.Jobs.submit_batch(
      ...>   items,
      ...>   fn
      ...>     %{"result" => {"completed", value}} -> send(self(), value)
      ...>     %{"result" => {"error", code, message, _retryable}} -> send(self(), {code, message})
      ...>     %{"result" => {"submitted"}} -> :ok
      ...>   end,
      ...>   ordered: true
      ...> )
      :ok
      iex> receive do
      ...>   %{"result" => quotient} -> quotient
      ...> end
      6.0

  An item is a map with `:command` and, if wanted, `:args`, `:client_request_id`, `:timeout`,
  `:session_id` and `:idempotent`. The results are maps with `"client_request_id"`, `"job_id"` and `"result"`, which is
  `{"submitted"}` and then one of `{"completed", value}` and
  `{"error", code, message, retryable}`; an item that cannot be submitted has only the latter.

  The enumerable is read as fast as items finish, and may be endless. What is kept is of the items on
  their way. One bad item ends nothing but itself. The items are cancelled when the callback says
  `:halt` or raises, or when this process ends, unless `detach: true`. If the enumerable raises, so
  does this function.

  #{Options.docs(:batch)}
  """
  @spec submit_batch(Enumerable.t(), callback(), keyword()) :: :ok | {:error, Error.reason()}
  def submit_batch(enumerable, callback, opts \\ []),
    do: Feed.each(Batch, enumerable, Options.validate!(:batch, opts), callback)

  @doc """
  The same with the results as a lazy enumerable. Leaving it early ends the batch.
  """
  @spec submit_batch_stream(Enumerable.t(), keyword()) :: Enumerable.t()
  def submit_batch_stream(enumerable, opts \\ []),
    do: Feed.stream(Batch, enumerable, Options.validate!(:batch, opts))

  defp feed(source, job_id, :stream, options), do: Feed.stream(source, job_id, options)
  defp feed(source, job_id, callback, options), do: Feed.each(source, job_id, options, callback)

  defp board(%{jobs: name}), do: Board.fetch(name)

  defp check(command, args) when is_binary(command) and is_map(args) and not is_struct(args),
    do: :ok

  defp check(command, args) do
    with {:ok, _request} <- Snakepit.Request.new(command, args, []), do: :ok
  end
end
