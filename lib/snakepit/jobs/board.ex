defmodule Snakepit.Jobs.Board do
  @moduledoc false
  # What everybody may read of the jobs without asking a process: the jobs, the last updates of each,
  # and the results. The server writes them.
  #
  # Who waits for news hangs out a bell and looks at the board once more; the server rings it once.
  # So a waiting process has at most one message of a job, however slow it is, and what it missed is
  # on the board.

  alias Snakepit.{Error, Mailbox}
  alias Snakepit.Jobs.{Job, Results, Server}
  alias Snakepit.Pool.Succession

  @enforce_keys [:server, :config, :jobs, :updates, :values, :bells, :expired]
  defstruct [:server, :config, :jobs, :updates, :values, :bells, :expired]

  @type t :: %__MODULE__{
          server: pid(),
          config: map(),
          jobs: :ets.table(),
          updates: :ets.table(),
          values: :ets.table(),
          bells: :ets.table(),
          expired: :ets.table()
        }
  @typedoc "What is waited for: any update, or that there are so many rows, or more than so many bytes."
  @type event :: :update | {:rows, non_neg_integer(), non_neg_integer()}
  @typedoc "The key under which a result had its rows."
  @type key :: String.t() | nil

  # So many jobs that are kept no longer are told from those that never were.
  @remembered 100_000

  # Of the updates about progress, so many are kept: with the three changes of the state 64.
  @kept 61

  @spec new(map()) :: t()
  def new(config) do
    %__MODULE__{
      server: self(),
      config: config,
      jobs: :ets.new(:jobs, [:set, :protected, read_concurrency: true]),
      updates: :ets.new(:updates, [:ordered_set, :protected, read_concurrency: true]),
      values: :ets.new(:values, [:set, :public, read_concurrency: true]),
      bells: :ets.new(:bells, [:bag, :public, write_concurrency: true]),
      expired: :ets.new(:expired, [:ordered_set, :protected, read_concurrency: true])
    }
  end

  @spec publish(t()) :: :ok
  def publish(%__MODULE__{config: config} = board),
    do: :persistent_term.put({__MODULE__, config.name}, board)

  @doc """
  The board of the jobs of that name.
  """
  @spec fetch(atom()) :: {:ok, t()} | {:error, Error.condition()}
  def fetch(name) do
    case :persistent_term.get({__MODULE__, name}, nil) do
      nil -> {:error, :not_found}
      board -> {:ok, board}
    end
  end

  @doc """
  The boards of all services that run.
  """
  @spec all() :: [t()]
  def all, do: for(name <- Succession.names(Server), {:ok, board} <- [fetch(name)], do: board)

  @spec job(t(), term()) :: {:ok, Job.t()} | {:error, :not_found | :expired | :draining}
  def job(%__MODULE__{} = board, id) do
    case :ets.lookup(board.jobs, id) do
      [{^id, job}] -> {:ok, job}
      [] -> if expired?(board, id), do: {:error, :expired}, else: {:error, :not_found}
    end
  rescue
    ArgumentError -> {:error, :draining}
  end

  defp expired?(%{expired: expired}, id) do
    with {:ok, number} <- Job.number(id),
         do: :ets.lookup(expired, number) == [{number, id}],
         else: (:error -> false)
  end

  @doc """
  All jobs, in the order in which they were submitted.
  """
  @spec jobs(t()) :: [Job.t()]
  def jobs(%__MODULE__{jobs: jobs}) do
    for({_id, job} <- :ets.tab2list(jobs), do: job) |> Enum.sort_by(& &1.number)
  rescue
    ArgumentError -> []
  end

  @doc """
  How many jobs are in that state.
  """
  @spec count(t(), String.t()) :: non_neg_integer()
  def count(%__MODULE__{jobs: jobs}, state) do
    :ets.select_count(jobs, [{{:_, %{state: state}}, [], [true]}])
  rescue
    ArgumentError -> 0
  end

  @doc """
  The ids of the jobs that were submitted last, the latest first.
  """
  @spec latest(t(), pos_integer()) :: [String.t()]
  def latest(%__MODULE__{jobs: jobs}, limit) do
    jobs
    |> :ets.select([{{:"$1", %{number: :"$2"}}, [], [{{:"$2", :"$1"}}]}])
    |> Enum.sort(:desc)
    |> Enum.take(limit)
    |> Enum.map(fn {_number, id} -> id end)
  rescue
    ArgumentError -> []
  end

  @spec put(t(), Job.t()) :: true
  def put(%__MODULE__{jobs: jobs}, %Job{id: id} = job), do: :ets.insert(jobs, {id, job})

  @doc """
  Writes an update and rings for it.
  """
  @spec post(t(), {Job.t(), Job.update()}) :: Job.t()
  def post(%__MODULE__{updates: updates} = board, {%Job{id: id, seq: seq} = job, update}) do
    :ets.insert(updates, {{id, seq}, update})
    old = {id, seq - @kept}

    # The change of a state is never forgotten; there are three of them.
    if update["state"] == "running" and
         match?([{_, %{"progress" => _}}], :ets.lookup(updates, old)),
       do: :ets.delete(updates, old)

    put(board, job)
    ring(board, id)
    job
  end

  @doc """
  The updates there are after number `seq`, in order.
  """
  @spec updates(t(), String.t(), non_neg_integer()) :: [Job.update()]
  def updates(%__MODULE__{updates: updates}, id, seq) do
    :ets.select(updates, [{{{id, :"$1"}, :"$2"}, [{:>, :"$1", seq}], [:"$2"]}])
  end

  @doc """
  The result without its rows.
  """
  @spec rest(t(), String.t()) :: map()
  def rest(%__MODULE__{values: values}, id), do: :ets.lookup_element(values, id, 3)

  @doc """
  Under which key the result had its rows, if that is known yet.
  """
  @spec key(t(), String.t()) :: key()
  def key(%__MODULE__{values: values}, id), do: :ets.lookup_element(values, id, 2, nil)

  # Its size is found here, by the process that runs the job, and not where others wait for.
  @spec put_value(t(), String.t(), key(), map()) :: true
  def put_value(%__MODULE__{values: values}, id, key, rest),
    do: :ets.insert(values, {id, key, rest, :erlang.external_size(rest)})

  @doc """
  Takes away the result of a job that was removed before its process had ended.
  """
  @spec sweep(t(), String.t()) :: true
  def sweep(%__MODULE__{values: values}, id), do: :ets.delete(values, id)

  @doc """
  What the results of the job take.
  """
  @spec size(t(), Job.t()) :: non_neg_integer()
  def size(_board, %Job{results: nil}), do: 0

  def size(%__MODULE__{values: values}, %Job{id: id, results: results}),
    do: Results.bytes(results) + :ets.lookup_element(values, id, 4, 0)

  @doc """
  Has `{ref, :news}` sent to the calling process, once, when the event comes. What
  came before is not told: look again afterwards.
  """
  @spec hang_bell(t(), String.t(), event(), reference()) :: true
  def hang_bell(%__MODULE__{bells: bells}, id, event, ref),
    do: :ets.insert(bells, {place(id, event), self(), ref, event})

  @doc """
  Takes the bell down, with what it may have rung.
  """
  @spec take_bell_down(t(), String.t(), event(), reference()) :: :ok
  def take_bell_down(%__MODULE__{bells: bells}, id, event, ref) do
    :ets.delete_object(bells, {place(id, event), self(), ref, event})
    Mailbox.flush(ref)
  rescue
    ArgumentError -> Mailbox.flush(ref)
  end

  @doc """
  Rings for all who wait for this job.
  """
  @spec ring(t(), String.t()) :: :ok
  def ring(%__MODULE__{bells: bells}, id) do
    for place <- [id, {id, :rows}],
        {_place, pid, ref, _event} <- :ets.take(bells, place),
        do: send(pid, {ref, :news})

    :ok
  end

  @doc """
  Rings for those whom these rows are enough.
  """
  @spec ring_for_rows(t(), String.t(), Results.t()) :: :ok
  def ring_for_rows(%__MODULE__{bells: bells}, id, results) do
    for {_place, pid, ref, {:rows, rows, bytes}} = bell <- :ets.lookup(bells, {id, :rows}),
        Results.reached?(results, rows, bytes) do
      :ets.delete_object(bells, bell)
      send(pid, {ref, :news})
    end

    :ok
  end

  @doc """
  Takes a job off the board.
  """
  @spec remove(t(), Job.t()) :: :ok
  def remove(%__MODULE__{} = board, %Job{id: id} = job) do
    :ets.delete(board.jobs, id)
    :ets.delete(board.values, id)
    :ets.select_delete(board.updates, [{{{id, :_}, :_}, [], [true]}])
    if job.results, do: Results.delete(job.results)
    ring(board, id)
  end

  @doc """
  Takes a job off the board, and remembers that it was there.
  """
  @spec expire(t(), Job.t()) :: :ok
  def expire(%__MODULE__{expired: expired} = board, %Job{id: id, number: number} = job) do
    if :ets.info(expired, :size) >= @remembered, do: :ets.delete(expired, :ets.first(expired))
    :ets.insert(expired, {number, id})
    remove(board, job)
  end

  # Rows come often: those who wait for something else are not gone through for each.
  defp place(id, :update), do: id
  defp place(id, _rows), do: {id, :rows}
end
