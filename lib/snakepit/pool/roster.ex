defmodule Snakepit.Pool.Roster do
  @moduledoc false
  # Which workers of a pool may be given calls. Only the pool's server writes here, in an order
  # that callers can rely on: the connection of a worker is there before the worker is ready,
  # and is taken away after it stopped being so.

  alias Snakepit.GRPC
  alias Snakepit.Pool.{SessionKeeper, Shared, Slots}

  @spec ready(Shared.t(), Slots.worker(), GRPC.Channel.t(), map()) :: :ok
  def ready(pool, index, channel, info) do
    incarnation = incarnation(pool, index, info)
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
  @spec suspend(Shared.t(), Slots.worker(), GRPC.Channel.t()) :: boolean()
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
  def reachable?(pool, :any), do: Enum.any?(indices(pool), &reachable?(pool, &1))
  def reachable?(pool, index), do: Slots.state(pool.slots, index) != :failing

  @spec all_ready?(Shared.t()) :: boolean()
  def all_ready?(pool), do: Enum.all?(indices(pool), &Slots.ready?(pool.slots, &1))

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
        incarnation

      {_none, row} ->
        if row.started_at != nil, do: Slots.count(pool.slots, :restarts)
        System.unique_integer([:positive])
    end
  end

  defp indices(%Shared{slots: slots}), do: 0..(slots.size - 1)
end
