defmodule Snakepit.Jobs.Schedule do
  @moduledoc false
  # Which job runs next: the one that came first. Jobs that lost their worker, and may run again, do so
  # one at a time, for one of them may be the reason.

  alias Snakepit.Jobs.Server

  @enforce_keys [:limit, :most_queued]
  defstruct [
    :limit,
    :most_queued,
    :suspect,
    queue: :queue.new(),
    waiting: %{},
    suspects: :queue.new(),
    running: %{},
    runners: %{}
  ]

  @type t :: %__MODULE__{}

  @spec new(map()) :: t()
  def new(config),
    do: %__MODULE__{limit: config.max_concurrent_jobs, most_queued: config.max_queued_jobs}

  @spec full?(t()) :: boolean()
  def full?(%__MODULE__{} = schedule),
    do: not room?(schedule) and map_size(schedule.waiting) >= schedule.most_queued

  @spec add(t(), Server.order()) :: t()
  def add(%__MODULE__{} = schedule, %{id: id} = order) do
    %{
      schedule
      | queue: :queue.in(id, schedule.queue),
        waiting: Map.put(schedule.waiting, id, order)
    }
  end

  @doc """
  The job shall run once more, by itself.
  """
  @spec repeat(t(), Server.order()) :: t()
  def repeat(%__MODULE__{} = schedule, %{id: id} = order) do
    %{
      schedule
      | suspects: :queue.in(id, schedule.suspects),
        waiting: Map.put(schedule.waiting, id, order)
    }
  end

  @doc """
  The next job, if one may start.
  """
  @spec next(t()) :: {Server.order(), t()} | :none
  def next(%__MODULE__{} = schedule) do
    cond do
      not room?(schedule) -> :none
      schedule.suspect == nil and not :queue.is_empty(schedule.suspects) -> next_suspect(schedule)
      true -> next_in_queue(schedule)
    end
  end

  defp next_suspect(schedule) do
    {{:value, id}, suspects} = :queue.out(schedule.suspects)
    schedule = %{schedule | suspects: suspects}

    case take(schedule, id) do
      {order, schedule} -> {order, %{schedule | suspect: id}}
      :dropped -> next(schedule)
    end
  end

  defp next_in_queue(schedule) do
    case :queue.out(schedule.queue) do
      {{:value, id}, queue} ->
        schedule = %{schedule | queue: queue}
        with :dropped <- take(schedule, id), do: next(schedule)

      {:empty, _queue} ->
        :none
    end
  end

  defp take(schedule, id) do
    case Map.pop(schedule.waiting, id) do
      {nil, _waiting} -> :dropped
      {order, waiting} -> {order, %{schedule | waiting: waiting}}
    end
  end

  @doc """
  The job runs, in the process of that monitor.
  """
  @spec running(t(), Server.order(), pid(), reference()) :: t()
  def running(%__MODULE__{} = schedule, %{id: id} = order, pid, monitor) do
    %{
      schedule
      | running: Map.put(schedule.running, monitor, order),
        runners: Map.put(schedule.runners, id, pid)
    }
  end

  @doc """
  The process of a job has ended, and its place is free.
  """
  @spec ended(t(), reference()) :: {Server.order(), t()} | :unknown
  def ended(%__MODULE__{running: running} = schedule, monitor) do
    case Map.pop(running, monitor) do
      {nil, _running} ->
        :unknown

      {%{id: id} = order, running} ->
        suspect = if schedule.suspect == id, do: nil, else: schedule.suspect
        runners = Map.delete(schedule.runners, id)
        {order, %{schedule | running: running, runners: runners, suspect: suspect}}
    end
  end

  @doc """
  Takes back a job that has not started; one that has keeps its place until its process has ended.
  """
  @spec drop(t(), String.t()) :: {pid() | nil, t()}
  def drop(%__MODULE__{} = schedule, id),
    do: {schedule.runners[id], %{schedule | waiting: Map.delete(schedule.waiting, id)}}

  @spec waiting(t()) :: [String.t()]
  def waiting(%__MODULE__{waiting: waiting}), do: Map.keys(waiting)

  @spec runners(t()) :: [{String.t(), pid()}]
  def runners(%__MODULE__{runners: runners}), do: Map.to_list(runners)

  # Those that are being killed count, until they are gone.
  defp room?(schedule), do: map_size(schedule.runners) < schedule.limit
end
