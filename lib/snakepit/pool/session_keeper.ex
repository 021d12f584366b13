defmodule Snakepit.Pool.SessionKeeper do
  @moduledoc false
  # Begins and ends the sessions of a pool. It outlives the pool's server, so that what a
  # crash of that one has cost is known afterwards.
  #
  # A session that has ended is struck off the table at once, and told to Python when no call in
  # it runs any more; until then its id is not given again.

  use GenServer

  alias Snakepit.{Config, Request, Telemetry}
  alias Snakepit.Pool.{SessionEnd, SessionTable, Shared, Slots, Succession}

  defstruct [
    :config,
    :sessions,
    :interval,
    :retry,
    counts: %{},
    live: 0,
    ending: SessionEnd.new()
  ]

  @longest_interval 5_000
  @shortest_interval 20
  @retry_after 50
  @predecessor_timeout 1_000

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(%Config{} = config),
    do: GenServer.start_link(__MODULE__, config)

  @doc """
  The sessions of the pool, for its new server: all workers there were are gone.
  """
  @spec open(atom()) :: SessionTable.t()
  def open(pool_name), do: pool_name |> place() |> Succession.holder() |> GenServer.call(:open)

  @doc """
  Begins a session, unless it is there. One that was lost begins again only if `anew`.
  """
  @spec create(pid(), String.t(), Slots.target(), boolean()) ::
          {:ok, Slots.worker(), Shared.incarnation()}
          | {:error, :no_worker | Snakepit.Error.condition()}
  def create(keeper, id, target, anew), do: call(keeper, {:create, id, target, anew})

  @doc """
  Notes that a caller has heard of the loss of a session; only the first one does.
  `:again` when the session is not the one that was lost.
  """
  @spec lost(pid(), String.t(), Shared.incarnation()) ::
          {:error, Snakepit.Error.condition()} | :again
  def lost(keeper, id, incarnation), do: call(keeper, {:lost, id, incarnation})

  @spec delete(pid(), String.t()) :: :ok | {:error, Snakepit.Error.condition()}
  def delete(keeper, id), do: call(keeper, {:delete, id})

  @doc """
  The process of a worker is gone, and its sessions with it.
  """
  @spec worker_gone(SessionTable.t(), Slots.worker(), Shared.incarnation()) :: :ok
  def worker_gone(%SessionTable{keeper: keeper}, worker, incarnation) do
    send(keeper, {:worker_gone, worker, incarnation})
    :ok
  end

  defp call(keeper, request) do
    GenServer.call(keeper, request, :infinity)
  catch
    :exit, _gone -> {:error, :grpc_unavailable}
  end

  defp place(pool_name), do: {__MODULE__, pool_name}

  @impl true
  def init(config) do
    Process.flag(:trap_exit, true)
    Succession.claim(place(config.name), @predecessor_timeout)
    interval = config.session_ttl |> div(4) |> max(@shortest_interval) |> min(@longest_interval)
    state = %__MODULE__{config: config, sessions: SessionTable.new(), interval: interval}
    {:ok, tick(state)}
  end

  @impl true
  def handle_call(:open, _from, state) do
    places = Map.keys(state.counts)
    state = Enum.reduce(places, state, fn {worker, inc}, state -> lose(state, worker, inc) end)
    SessionTable.stop_all(state.sessions)
    {:reply, state.sessions, state}
  end

  def handle_call({:create, id, target, anew}, from, state) do
    if SessionEnd.pending?(state.ending, id) do
      {:noreply, %{state | ending: SessionEnd.await(state.ending, id, {from, target, anew})}}
    else
      {answer, state} = begin(state, id, target, anew)
      {:reply, answer, state}
    end
  end

  def handle_call({:lost, id, incarnation}, _from, state) do
    case SessionTable.lookup(state.sessions, id) do
      {^id, worker, ^incarnation, _used, _created, :live} ->
        {:reply, told(state, id), state |> lose(worker, incarnation) |> tell(id)}

      {^id, _worker, ^incarnation, _used, _created, :lost} ->
        {:reply, told(state, id), tell(state, id)}

      {^id, _worker, ^incarnation, _used, _created, :told} ->
        {:reply, {:error, :session_not_found}, state}

      _none_or_another ->
        {:reply, :again, state}
    end
  end

  def handle_call({:delete, id}, _from, state) do
    case SessionTable.lookup(state.sessions, id) do
      nil -> {:reply, {:error, :session_not_found}, state}
      row -> {:reply, :ok, state |> tell_ended(:deleted, row) |> finish(row) |> end_sessions()}
    end
  end

  @impl true
  def handle_info(:tick, state) do
    {:noreply, state |> expire() |> end_sessions() |> tick()}
  end

  def handle_info(:retry, state), do: {:noreply, end_sessions(%{state | retry: nil})}

  def handle_info({:worker_gone, worker, incarnation}, state),
    do: {:noreply, state |> lose(worker, incarnation) |> end_sessions()}

  def handle_info({:DOWN, monitor, :process, _pid, result}, state) do
    {waiting, ending} = SessionEnd.ended(state.ending, monitor, result)
    state = if SessionEnd.held?(ending), do: retry_later(state), else: state
    {:noreply, Enum.reduce(waiting, %{state | ending: ending}, &begin_waiting/2)}
  end

  def handle_info(_late_reply, state), do: {:noreply, state}

  # -- begin

  defp begin_waiting({id, {from, target, anew}}, state) do
    {answer, state} = begin(state, id, target, anew)
    GenServer.reply(from, answer)
    state
  end

  defp begin(state, id, target, anew) do
    case SessionTable.lookup(state.sessions, id) do
      nil ->
        insert(state, id, target)

      {^id, worker, incarnation, _used, _created, :live} ->
        cond do
          not lost?(state, worker, incarnation) -> {{:ok, worker, incarnation}, state}
          anew -> state |> lose(worker, incarnation) |> begin(id, target, anew)
          true -> {{:ok, worker, incarnation}, state}
        end

      {^id, _worker, _incarnation, _used, _created, _lost} = row when anew ->
        state |> finish(row) |> insert(id, target)

      {^id, _worker, _incarnation, _used, _created, _lost} ->
        {{:error, :session_not_found}, state}
    end
  end

  defp insert(state, id, target) do
    state = if full?(state), do: expire(state), else: state

    with {:ok, pool} <- Shared.fetch(state.config.name),
         false <- full?(state),
         {:ok, worker} <- choose(state, pool, target) do
      incarnation = Shared.incarnation(pool, worker)
      SessionTable.insert(state.sessions, id, worker, incarnation)

      # A worker that begins to leave is marked first, and asked for its sessions then: either
      # it sees this one, or is seen to leave here.
      if Slots.ready?(pool.slots, worker) do
        event(state, :opened, worker, id)
        {{:ok, worker, incarnation}, count(state, {worker, incarnation}, 1)}
      else
        SessionTable.delete(state.sessions, id)
        send(pool.server, {:sessions_over, worker})
        insert(state, id, target)
      end
    else
      true -> {{:error, :pool_saturated}, state}
      {:error, reason} -> {{:error, reason}, state}
    end
  end

  defp full?(state), do: state.live >= state.config.max_sessions

  # The worker with the fewest sessions of those that have a free slot, if one has.
  defp choose(state, %{slots: slots} = pool, :any) do
    0..(slots.size - 1)
    |> Enum.filter(&Slots.ready?(slots, &1))
    |> Enum.min_by(
      fn worker ->
        load = Slots.load(slots, worker)
        sessions = Map.get(state.counts, {worker, Shared.incarnation(pool, worker)}, 0)
        {load >= slots.capacity, sessions, load}
      end,
      fn -> nil end
    )
    |> case do
      nil -> {:error, :no_worker}
      worker -> {:ok, worker}
    end
  end

  defp choose(_state, %{slots: slots}, worker),
    do: if(Slots.ready?(slots, worker), do: {:ok, worker}, else: {:error, :no_worker})

  defp lost?(state, worker, incarnation) do
    case Shared.fetch(state.config.name) do
      {:ok, pool} -> Shared.incarnation(pool, worker) != incarnation
      {:error, :pool_not_found} -> true
    end
  end

  # -- end

  # Whatever has become of the session.
  defp finish(state, row) do
    SessionTable.delete(state.sessions, elem(row, 0))
    finished(state, row)
  end

  defp finished(state, {id, worker, incarnation, _used, _created, :live}) do
    ending = SessionEnd.add(state.ending, worker, incarnation, id)
    count(%{state | ending: ending}, {worker, incarnation}, -1)
  end

  defp finished(state, _lost), do: state

  defp expire(state) do
    limit = Request.now() - state.config.session_ttl

    state.sessions
    |> SessionTable.expire(limit, running(state))
    |> Enum.reduce(state, &(&2 |> tell_ended(:expired, &1) |> finished(&1)))
  end

  defp end_sessions(state) do
    case Shared.fetch(state.config.name) do
      {:ok, pool} ->
        {waiting, ending} = SessionEnd.start(state.ending, pool, running(state))
        state = if SessionEnd.held?(ending), do: retry_later(state), else: state
        Enum.reduce(waiting, %{state | ending: ending}, &begin_waiting/2)

      {:error, :pool_not_found} ->
        state
    end
  end

  defp running(state) do
    case Shared.fetch(state.config.name) do
      {:ok, pool} -> SessionTable.running(state.sessions, pool.slots)
      {:error, :pool_not_found} -> MapSet.new()
    end
  end

  # -- loss

  defp lose(%{sessions: sessions, config: config} = state, worker, incarnation) do
    {count, counts} = Map.pop(state.counts, {worker, incarnation}, 0)

    if count > 0 do
      lost = SessionTable.on(sessions, worker, incarnation)
      mark_lost(config, sessions, worker, incarnation)
      Enum.each(lost, &event(state, :lost, worker, &1))
    end

    %{state | counts: counts, live: state.live - count}
  end

  # With :hint, nobody relies on the state: the session begins again where there is a worker.
  defp mark_lost(%{session_affinity: :hint}, sessions, worker, incarnation),
    do: SessionTable.drop(sessions, worker, incarnation)

  # What is remembered of the lost is bounded like the sessions themselves.
  defp mark_lost(config, sessions, worker, incarnation) do
    SessionTable.lose(sessions, worker, incarnation)
    SessionTable.forget_lost(sessions, config.max_sessions)
  end

  defp told(%{config: %{session_affinity: :hint}}, _id), do: :again
  defp told(_state, _id), do: {:error, :session_lost}

  defp tell(state, id) do
    SessionTable.tell(state.sessions, id)
    state
  end

  defp tell_ended(state, what, {id, worker, _incarnation, _used, _created, :live}) do
    event(state, what, worker, id)
    state
  end

  defp tell_ended(state, _what, _lost), do: state

  defp event(%{config: config}, what, worker, id) do
    metadata = %{
      pool: config.name,
      worker_id: Shared.worker_id(config, worker),
      session_id: id
    }

    Telemetry.event([:session, what], %{count: 1}, metadata)
  end

  defp count(state, {worker, _incarnation} = place, change) do
    {counts, over} =
      case Map.get(state.counts, place, 0) + change do
        0 -> {Map.delete(state.counts, place), true}
        count -> {Map.put(state.counts, place, count), false}
      end

    # The worker may have waited for that, in order to leave.
    with true <- over,
         {:ok, pool} <- Shared.fetch(state.config.name),
         do: send(pool.server, {:sessions_over, worker})

    %{state | counts: counts, live: state.live + change}
  end

  defp retry_later(%{retry: nil} = state),
    do: %{state | retry: Process.send_after(self(), :retry, @retry_after)}

  defp retry_later(state), do: state

  defp tick(state) do
    Process.send_after(self(), :tick, state.interval)
    state
  end
end
