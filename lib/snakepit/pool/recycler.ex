defmodule Snakepit.Pool.Recycler do
  @moduledoc false
  # Replaces workers that have reached an age, a number of requests or a size: starts a successor
  # on a place of its own, and retires the old worker when the successor is ready, so that there are
  # never fewer ready workers than before. One successor starts at a time.

  use GenServer

  require Logger

  alias Snakepit.{Config, Telemetry}
  alias Snakepit.Pool.{Roster, Server, Shared, Slots, WorkerSupervisor}

  defstruct [:pool, :successor, due: [], limits: %{}]

  @mebibyte 1_048_576

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(%Config{recycle: false}), do: :ignore
  def start_link(%Config{} = config), do: GenServer.start_link(__MODULE__, config)

  @impl true
  def init(config) do
    with {:ok, pool} <- Shared.fetch(config.name) do
      retiring = Server.recycled_by(pool.server, self())
      state = %__MODULE__{pool: pool, successor: unfinished(pool, retiring)}
      {:ok, pool |> Roster.ready_workers() |> Enum.reduce(state, &ready(&2, &1))}
    else
      {:error, reason} -> {:stop, reason}
    end
  end

  @impl true
  def handle_info({:ready, index}, state), do: {:noreply, ready(state, index)}

  def handle_info({:used_up, index, incarnation}, state),
    do: {:noreply, due(state, index, incarnation, "has served as many requests as it may")}

  def handle_info({:size, index, incarnation, bytes}, state) do
    case state.limits do
      %{^index => {^incarnation, limit}} when bytes >= limit ->
        why = "holds #{div(bytes, @mebibyte)} MiB of memory"
        {:noreply, due(state, index, incarnation, why)}

      _small_or_gone ->
        {:noreply, state}
    end
  end

  def handle_info({:timeout, _timer, {:age, index, incarnation}}, state),
    do: {:noreply, due(state, index, incarnation, "has reached its age")}

  def handle_info({:drained, index}, %{pool: pool} = state) do
    if Slots.draining?(pool.slots, index) do
      WorkerSupervisor.stop_worker(workers(), index)
      Server.vacate(pool.server, index)
    end

    {:noreply, next(state)}
  end

  def handle_info(_late_reply, state), do: {:noreply, state}

  # -- when

  defp ready(%{pool: pool, limits: limits} = state, index) do
    incarnation = Shared.incarnation(pool, index)

    case limits do
      %{^index => {^incarnation, _bytes}} -> state
      _new_process -> state |> put_limits(index, incarnation) |> succeed(index)
    end
  end

  defp put_limits(%{pool: %{slots: slots, config: %{recycle: recycle}}} = state, index, inc) do
    if recycle.max_requests do
      most = max(spread(recycle.max_requests, recycle), 1)
      Slots.put_limit(slots, index, Slots.requests(slots, index) + most)
    end

    if recycle.max_age,
      do: :erlang.start_timer(spread(recycle.max_age, recycle), self(), {:age, index, inc})

    # A number is smaller than an atom: nobody is as big as nil.
    bytes = recycle.max_rss_mb && spread(recycle.max_rss_mb * @mebibyte, recycle)
    %{state | limits: Map.put(state.limits, index, {inc, bytes})}
  end

  # So that workers that began together do not end together.
  defp spread(limit, %{jitter: jitter}), do: round(limit * (1 - jitter * :rand.uniform()))

  defp due(%{pool: pool} = state, index, incarnation, why) do
    if Shared.incarnation(pool, index) == incarnation and not on_its_way?(state, index) do
      Slots.put_limit(pool.slots, index, 0)
      worker_id = Shared.worker_id(pool.config, index)
      Logger.info("Worker #{worker_id} #{why}, and is replaced.")
      metadata = %{pool: pool.config.name, worker_id: worker_id, why: why}
      Telemetry.event([:worker, :recycle], %{count: 1}, metadata)
      next(%{state | due: state.due ++ [{index, incarnation}]})
    else
      state
    end
  end

  defp on_its_way?(%{pool: pool, due: due, successor: successor}, index) do
    List.keymember?(due, index, 0) or match?({_new, ^index}, successor) or
      Slots.state(pool.slots, index) in [:leaving, :draining, :vacant]
  end

  # -- how

  defp next(%{successor: nil, due: [{old, incarnation} | due], pool: pool} = state) do
    place = Roster.vacant_place(pool)

    cond do
      # It has been replaced by itself.
      Shared.incarnation(pool, old) != incarnation ->
        next(%{state | due: due})

      place == nil ->
        state

      true ->
        {:ok, _pid} = WorkerSupervisor.start_worker(workers(), pool.config, place)
        %{state | due: due, successor: {place, old}}
    end
  end

  defp next(state), do: state

  defp succeed(%{successor: {index, old}, pool: pool} = state, index) do
    Server.retire(pool.server, old)
    next(%{state | successor: nil})
  end

  defp succeed(state, _index), do: state

  # The sibling that has the workers. Asked for each time, as it may have been restarted.
  defp workers do
    [parent | _] = Process.get(:"$ancestors")

    {WorkerSupervisor, workers, _type, _modules} =
      parent |> Supervisor.which_children() |> List.keyfind(WorkerSupervisor, 0)

    workers
  end

  # What a recycler that crashed has left: one worker more than there should be.
  defp unfinished(pool, retiring) do
    workers =
      for {index, row} <- Shared.workers(pool), index not in retiring, do: {row.started_at, index}

    if length(workers) > pool.config.pool_size do
      {_, newest} = Enum.max_by(workers, &since/1)
      {_, oldest} = Enum.min_by(workers, &since/1)
      {newest, oldest}
    end
  end

  defp since({nil, _index}), do: :not_yet
  defp since({started_at, _index}), do: DateTime.to_unix(started_at, :microsecond)
end
