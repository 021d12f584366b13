defmodule Snakepit.Pool.Roster do
  @moduledoc false
  # Which workers of a pool may be given calls. Only the pool's server writes here, in an order
  # that callers can rely on: the connection of a worker is there before the worker is ready,
  # and is taken away after it stopped being so.

  alias Snakepit.Worker
  alias Snakepit.Pool.{SessionKeeper, SessionTable, Shared, Slots}

  @spec ready(Shared.t(), Slots.worker(), Worker.Channel.t(), map()) :: :ok
  def ready(pool, index, channel, info) do
    {incarnation, info} = incarnation(pool, index, info)
    Shared.put_worker(pool, index, channel, Map.put(info, :state, :ready), incarnation)
    Slots.put_state(pool.slots, index, :ready)
  end

  @doc """
  The worker has no process that is ready, but will have one soon.
  """
  @spec starting(Shared.t(), Slots.worker(), map()) :: :ok
  def starting(pool, index, info), do: down(pool, index, :starting, info)

  @doc """
  The latest start of the worker has failed.
  """
  @spec failing(Shared.t(), Slots.worker()) :: :ok
  def failing(pool, index), do: down(pool, index, :failing, %{os_pid: nil, address: nil})

  @doc """
  Takes a worker out of service, if `channel` is still its connection.
  """
  @spec suspend(Shared.t(), Slots.worker(), Worker.Channel.t()) :: boolean()
  def suspend(pool, index, channel) do
    current = Shared.channel(pool, index) == {:ok, channel}

    if current do
      Slots.put_state(pool.slots, index, :starting)
      incarnation = Shared.incarnation(pool, index)
      Shared.put_worker(pool, index, nil, %{state: :starting}, incarnation)
    end

    current
  end

  @doc """
  Does it make sense to wait for `target`? A worker whose last start failed is tried again, but
  nobody waits for that.
  """
  @spec reachable?(Shared.t(), Slots.target()) :: boolean()
  def reachable?(pool, :any),
    do: Enum.any?(indices(pool), &(Slots.state(pool.slots, &1) in [:starting, :ready]))

  def reachable?(pool, index), do: Slots.state(pool.slots, index) in [:starting, :ready, :leaving]

  @spec all_ready?(Shared.t()) :: boolean()
  def all_ready?(pool), do: length(ready_workers(pool)) >= pool.config.pool_size

  @spec ready_workers(Shared.t()) :: [Slots.worker()]
  def ready_workers(pool), do: Enum.filter(indices(pool), &Slots.ready?(pool.slots, &1))

  @spec vacant_place(Shared.t()) :: Slots.worker() | nil
  def vacant_place(pool), do: Enum.find(indices(pool), &(Slots.state(pool.slots, &1) == :vacant))

  # -- the way out of a worker

  @doc """
  The worker is given only calls in sessions that live on it.
  """
  @spec leaving(Shared.t(), Slots.worker()) :: :ok
  def leaving(pool, index) do
    Slots.put_limit(pool.slots, index, 0)
    Slots.put_state(pool.slots, index, :leaving)
    Shared.put_state(pool, index, :leaving)
  end

  @doc """
  Do sessions live on the worker that rely on it?
  """
  @spec needed?(Shared.t(), Slots.worker()) :: boolean()
  def needed?(%{config: %{session_affinity: :hint}}, _index), do: false

  def needed?(pool, index),
    do: SessionTable.any?(pool.sessions, index, Shared.incarnation(pool, index))

  @doc """
  The worker is given no calls; those that run go on.
  """
  @spec draining(Shared.t(), Slots.worker()) :: :ok
  def draining(pool, index), do: down(pool, index, :draining, %{})

  @doc """
  The worker has no process.
  """
  @spec vacant(Shared.t(), Slots.worker()) :: :ok
  def vacant(pool, index) do
    down(pool, index, :vacant, %{})
    Shared.clear_worker(pool, index)
  end

  # The process of the worker is gone, and all that it knew.
  defp down(pool, index, state, info) do
    Slots.put_state(pool.slots, index, state)
    incarnation = Shared.incarnation(pool, index)
    Shared.put_worker(pool, index, nil, Map.put(info, :state, state), 0)
    if incarnation != 0, do: SessionKeeper.worker_gone(pool.sessions, index, incarnation)
    :ok
  end

  # A new process, or the one that was found to be sound after all.
  defp incarnation(pool, index, info) do
    case {Shared.incarnation(pool, index), Shared.worker(pool, index)} do
      {incarnation, %{started_at: before}} when incarnation != 0 and before == info.started_at ->
        {incarnation, info}

      {_none, row} ->
        restarts = if row.started_at == nil, do: 0, else: row.restarts + 1
        if restarts > 0, do: Slots.count(pool.slots, :restarts)
        requests = Slots.requests(pool.slots, index)
        info = Map.merge(info, %{requests_before: requests, restarts: restarts})
        {System.unique_integer([:positive]), info}
    end
  end

  defp indices(%Shared{slots: slots}), do: 0..(slots.size - 1)
end
