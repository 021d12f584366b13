defmodule Snakepit.Pool.Server do
  @moduledoc false
  # Owns what the callers of a pool share (the slots and the table of workers), keeps the
  # queue, and frees the slots of callers that died. No payload comes by here.

  use GenServer

  alias Snakepit.{Config, Error, Worker}
  alias Snakepit.Pool.{Queue, Retirement, Roster, SessionKeeper, SessionTable}
  alias Snakepit.Pool.{Shared, Slots, Streams, Succession, Waiting}
  alias Snakepit.Worker
  alias Snakepit.Worker.Directory

  @predecessor_timeout 1_000

  defstruct [
    :pool,
    queue: Queue.new(),
    workers: %{},
    retirement: %Retirement{},
    awaiting: [],
    draining: false,
    drainer: nil
  ]

  @spec start_link(Config.t()) :: GenServer.on_start()
  def start_link(%Config{} = config), do: GenServer.start_link(__MODULE__, config)

  @doc """
  Leaves the queue. `:not_queued` when an answer is already on its way.
  """
  @spec leave_queue(pid(), Slots.token(), atom()) :: :left | :not_queued
  def leave_queue(server, token, why),
    do: GenServer.call(server, {:leave_queue, token, why}, :infinity)

  @doc """
  Waits until every worker is ready, or until one fails to start for the first time.
  """
  @spec await_ready(pid(), timeout()) :: :ok | {:error, Error.reason()}
  def await_ready(server, timeout) do
    GenServer.call(server, :await_ready, timeout)
  catch
    :exit, {:timeout, _call} -> {:error, :worker_timeout}
    :exit, _server_gone -> {:error, :grpc_unavailable}
  end

  @doc """
  Gives a worker no more calls until it has shown that it still answers on `channel`.
  """
  @spec suspect(pid(), Slots.worker(), Worker.Channel.t()) :: :ok
  def suspect(server, worker, channel) do
    GenServer.call(server, {:suspect, worker, channel})
  catch
    :exit, _server_gone -> :ok
  end

  @doc """
  Opens the pool for calls.
  """
  @spec open(pid()) :: :ok
  def open(server), do: GenServer.call(server, :open)

  @doc """
  Closes the pool for calls and waits until the running ones have ended.
  """
  @spec drain(pid(), timeout()) :: :ok | :timeout
  def drain(server, timeout) do
    GenServer.call(server, :drain, timeout)
  catch
    :exit, {:timeout, _call} -> :timeout
    :exit, _server_gone -> :ok
  end

  @doc """
  Names the process that replaces workers. Returns those that are on their way out.
  """
  @spec recycled_by(pid(), pid()) :: [Slots.worker()]
  def recycled_by(server, recycler), do: GenServer.call(server, {:recycled_by, recycler})

  @doc """
  Gives a worker no more calls but those in its sessions, and when these are over none. The
  recycler gets `{:drained, worker}` when the last call has ended.
  """
  @spec retire(pid(), Slots.worker()) :: :ok
  def retire(server, worker), do: GenServer.call(server, {:retire, worker})

  @doc """
  The worker has no process of any kind any more.
  """
  @spec vacate(pid(), Slots.worker()) :: :ok
  def vacate(server, worker), do: GenServer.call(server, {:vacate, worker})

  @impl true
  def init(config) do
    # So that terminate/2 runs and the directory goes away.
    Process.flag(:trap_exit, true)

    Succession.claim({__MODULE__, config.name}, @predecessor_timeout)
    # One that was killed had no time to tidy up.
    with {:ok, old} <- Shared.fetch(config.name), do: Directory.remove(old.directory)

    case Directory.create(config) do
      {:ok, directory} ->
        pool = Shared.new(config, SessionKeeper.open(config.name), directory)
        Shared.publish(pool)
        {:ok, %__MODULE__{pool: pool}}

      {:error, reason} ->
        {:stop, reason}
    end
  end

  @impl true
  def handle_call({:leave_queue, token, why}, _from, %{pool: pool} = state) do
    case Waiting.leave(state.queue, pool, token) do
      {:ok, queue} ->
        Slots.count(pool.slots, if(why == :queue_timeout, do: :queue_timeouts, else: :timeouts))
        {:reply, :left, %{state | queue: queue}}

      :error ->
        {:reply, :not_queued, state}
    end
  end

  def handle_call(:await_ready, from, state),
    do: {:noreply, answer_awaiting(%{state | awaiting: [from | state.awaiting]})}

  def handle_call({:suspect, index, channel}, _from, %{pool: pool} = state) do
    with %{^index => pid} <- state.workers,
         true <- Roster.suspend(pool, index, channel),
         do: send(pid, {:suspect, channel})

    {:reply, :ok, state}
  end

  def handle_call({:recycled_by, recycler}, _from, %{retirement: retirement} = state) do
    retirement = Retirement.recycled_by(retirement, state.pool, recycler)
    {:reply, Retirement.workers(retirement), %{state | retirement: retirement}}
  end

  def handle_call({:retire, index}, _from, %{retirement: retirement} = state) do
    state = %{state | retirement: Retirement.begin(retirement, state.pool, index)}
    {:reply, :ok, drain_worker(state, index)}
  end

  def handle_call({:vacate, index}, _from, %{retirement: retirement} = state) do
    retirement = Retirement.vacate(retirement, state.pool, index)
    {:reply, :ok, %{state | retirement: retirement, workers: Map.delete(state.workers, index)}}
  end

  def handle_call(:queued, _from, state), do: {:reply, Queue.size(state.queue), state}

  def handle_call(:open, _from, %{draining: false} = state), do: {:reply, :ok, state}

  def handle_call(:open, _from, state) do
    Slots.add_waiting(state.pool.slots, -1)
    {:reply, :ok, %{state | draining: false, drainer: nil}}
  end

  def handle_call(:drain, from, %{draining: false} = state) do
    # One waiter that never gets a slot: every caller now comes by here, and so does
    # the news of every slot that becomes free.
    Slots.add_waiting(state.pool.slots, 1)
    state = Enum.reduce(Queue.targets(state.queue), state, &refuse_all(&2, &1, :draining))
    {:noreply, answer_drainer(%{state | draining: true, drainer: from})}
  end

  def handle_call(:drain, from, state),
    do: {:noreply, answer_drainer(%{state | drainer: from})}

  @impl true
  def handle_info({:caller, pid, token}, state) do
    # The tag carries what is needed when the caller is gone, so nothing is kept here.
    Process.monitor(pid, tag: {:caller_gone, token})
    {:noreply, state}
  end

  def handle_info({{:caller_gone, token}, _monitor, :process, _pid, _reason}, state) do
    state =
      case Waiting.leave(state.queue, state.pool, token) do
        {:ok, queue} -> %{state | queue: queue}
        :error -> state
      end

    freed = Slots.reap(state.pool.slots, token, &Streams.abandon(state.pool, &1, token))
    {:noreply, Enum.reduce(freed, state, &serve(&2, &1))}
  end

  def handle_info({:checkout, reply_to, _caller, _target, _manner}, %{draining: true} = state) do
    Waiting.refuse(reply_to, :draining)
    {:noreply, state}
  end

  def handle_info({:checkout, reply_to, caller, target, manner}, state) do
    queue = Waiting.checkout(state.queue, state.pool, reply_to, caller, target, manner)
    {:noreply, %{state | queue: queue}}
  end

  def handle_info({:slot_free, worker}, state), do: {:noreply, serve(state, worker)}

  def handle_info({:release, slot, token}, state) do
    Streams.finish_slot(state.pool, slot, token)

    if Slots.held?(state.pool.slots, slot, token),
      do: SessionTable.leave(state.pool.sessions, slot)

    if Slots.release(state.pool.slots, slot, token),
      do: {:noreply, serve(state, Slots.worker(state.pool.slots, slot))},
      else: {:noreply, state}
  end

  def handle_info({:worker, index, pid, news}, state),
    do: {:noreply, worker_news(state, index, pid, news)}

  def handle_info({{:worker_gone, index}, _monitor, :process, pid, _reason}, state) do
    case state.workers do
      %{^index => ^pid} ->
        {:noreply, worker_news(state, index, pid, {:starting, %{pid: nil, os_pid: nil}})}

      _replaced ->
        {:noreply, state}
    end
  end

  # What a worker does that the recycler wants to know.
  def handle_info({:recycler, news}, state) do
    Retirement.report(state.retirement, news)
    {:noreply, state}
  end

  def handle_info({:sessions_over, index}, state), do: {:noreply, drain_worker(state, index)}

  # It has waited for its sessions long enough.
  def handle_info({:retire_now, index, incarnation}, state) do
    if Shared.incarnation(state.pool, index) == incarnation,
      do: {:noreply, drain_worker(state, index, :now)},
      else: {:noreply, state}
  end

  def handle_info(_late_reply, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{pool: pool}) do
    # Whoever sees that the pool is gone sees no directory of it either.
    Directory.remove(pool.directory)
    Shared.unpublish(pool)
  end

  defp serve(%{draining: true} = state, _worker), do: answer_drainer(state)

  defp serve(%{pool: pool} = state, worker) do
    Retirement.report_drained(state.retirement, pool, worker)
    %{state | queue: Waiting.serve(state.queue, pool, worker)}
  end

  defp refuse_all(state, target, reason),
    do: %{state | queue: Waiting.refuse_all(state.queue, state.pool, target, reason)}

  # -- workers

  defp worker_news(state, index, pid, news) do
    state = watch(state, index, pid)

    case Retirement.state(state.retirement, index) do
      nil -> serving_news(state, index, news)
      retiring -> retiring_news(state, index, retiring, news)
    end
  end

  # It was found to be sound after all.
  defp retiring_news(state, index, retiring, {:ready, channel, info}) do
    if retiring == :leaving do
      Roster.ready(state.pool, index, channel, info)
      Roster.leaving(state.pool, index)
    end

    serve(state, index)
  end

  # Its process has ended by itself, before its time or while it was stopped.
  defp retiring_news(state, index, _retiring, _down), do: drain_worker(state, index, :now)

  defp serving_news(state, index, {:ready, channel, info}) do
    Roster.ready(state.pool, index, channel, info)
    Retirement.report(state.retirement, {:ready, index})
    state |> serve(index) |> answer_awaiting()
  end

  defp serving_news(state, index, {:starting, info}) do
    Roster.starting(state.pool, index, info)
    state
  end

  defp serving_news(state, index, {:failing, %Error{} = error}) do
    Roster.failing(state.pool, index)
    for from <- state.awaiting, do: GenServer.reply(from, {:error, error})

    [index | if(Roster.reachable?(state.pool, :any), do: [], else: [:any])]
    |> Enum.reduce(%{state | awaiting: []}, &refuse_all(&2, &1, :grpc_unavailable))
  end

  defp watch(%{workers: workers} = state, index, pid) do
    if workers[index] != pid, do: Process.monitor(pid, tag: {:worker_gone, index})
    %{state | workers: Map.put(workers, index, pid)}
  end

  defp drain_worker(state, index, patience \\ :wait) do
    case Retirement.drain(state.retirement, state.pool, index, patience) do
      {:drains, retirement} ->
        refuse_all(%{state | retirement: retirement}, index, :grpc_unavailable)

      :stays ->
        state
    end
  end

  defp answer_awaiting(state) do
    if Roster.all_ready?(state.pool) do
      for from <- state.awaiting, do: GenServer.reply(from, :ok)
      %{state | awaiting: []}
    else
      state
    end
  end

  defp answer_drainer(%{drainer: nil} = state), do: state

  defp answer_drainer(state) do
    if Slots.busy(state.pool.slots) == 0 do
      GenServer.reply(state.drainer, :ok)
      %{state | drainer: nil}
    else
      state
    end
  end
end
