defmodule Snakepit.Jobs.Schedule do
  @moduledoc false
  # Which job runs next: the one that came first. Jobs that lost their worker, and may run again, do so
  # one at a time, for one of them may be the reason.

  alias Snakepit.Jobs.{Job, Server}

  # What jobs are called with is to stand in no crash report.
  @derive {Inspect, only: [:limit, :most_queued, :suspect]}
  @enforce_keys [:limit, :most_queued]
  defstruct [
    :limit,
    :most_queued,
    :suspect,
    queue: :gb_trees.empty(),
    suspects: :gb_trees.empty(),
    running: %{},
    runners: %{}
  ]

  @type t :: %__MODULE__{}

  @spec new(map()) :: t()
  def new(config),
    do: %__MODULE__{limit: config.max_concurrent_jobs, most_queued: config.max_queued_jobs}

  @spec full?(t()) :: boolean()
  def full?(%__MODULE__{} = schedule),
    do: not room?(schedule) and waiting_count(schedule) >= schedule.most_queued

  @spec add(t(), Server.order()) :: t()
  def add(%__MODULE__{} = schedule, %{id: id} = order) do
    %{schedule | queue: :gb_trees.insert(place(id), order, schedule.queue)}
  end

  @doc """
  The job shall run once more, by itself.
  """
  @spec repeat(t(), Server.order()) :: t()
  def repeat(%__MODULE__{} = schedule, %{id: id} = order) do
    %{schedule | suspects: :gb_trees.insert(place(id), order, schedule.suspects)}
  end

  @doc """
  The next job, if one may start.
  """
  @spec next(t()) :: {Server.order(), t()} | :none
  def next(%__MODULE__{} = schedule) do
    cond do
      not room?(schedule) ->
        :none

      schedule.suspect == nil and not :gb_trees.is_empty(schedule.suspects) ->
        {_place, order, suspects} = :gb_trees.take_smallest(schedule.suspects)
        {order, %{schedule | suspects: suspects, suspect: order.id}}

      not :gb_trees.is_empty(schedule.queue) ->
        {_place, order, queue} = :gb_trees.take_smallest(schedule.queue)
        {order, %{schedule | queue: queue}}

      true ->
        :none
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
  def drop(%__MODULE__{} = schedule, id) do
    place = place(id)
    queue = :gb_trees.delete_any(place, schedule.queue)
    suspects = :gb_trees.delete_any(place, schedule.suspects)
    {schedule.runners[id], %{schedule | queue: queue, suspects: suspects}}
  end

  @spec waiting(t()) :: [String.t()]
  def waiting(%__MODULE__{queue: queue, suspects: suspects}),
    do: for(order <- :gb_trees.values(suspects) ++ :gb_trees.values(queue), do: order.id)

  @spec runners(t()) :: [{String.t(), pid()}]
  def runners(%__MODULE__{runners: runners}), do: Map.to_list(runners)

  defp waiting_count(%{queue: queue, suspects: suspects}),
    do: :gb_trees.size(queue) + :gb_trees.size(suspects)

  # First come, first served.
  defp place(id) do
    {:ok, number} = Job.number(id)
    number
  end

  # Those that are being killed count, until they are gone.
  defp room?(schedule), do: map_size(schedule.runners) < schedule.limit
end
