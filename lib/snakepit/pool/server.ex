defmodule Snakepit.Pool.Server do
  @moduledoc false
  # Owns what the callers of a pool share (the slots and the table of workers), keeps the
  # queue, and frees the slots of callers that died. No payload comes by here.

  use GenServer

  alias Snakepit.{Config, Error, GRPC}
  alias Snakepit.Pool.{Queue, Roster, SessionKeeper, SessionTable, Shared, Slots}
  alias Snakepit.Worker.Directory

  @predecessor_timeout 1_000

  defstruct [
    :pool,
    queue: Queue.new(),
    workers: %{},
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
  @spec suspect(pid(), Slots.worker(), GRPC.Channel.t()) :: :ok
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

  @impl true
  def init(config) do
    # So that terminate/2 runs and the directory goes away.
    Process.flag(:trap_exit, true)

    with {:ok, old} <- Shared.fetch(config.name), do: succeed(old)

    case Directory.create(config) do
      {:ok, directory} ->
        pool = Shared.new(config, SessionKeeper.open(config.name), directory)
        Shared.publish(pool)
        {:ok, %__MODULE__{pool: pool}}

      {:error, reason} ->
        {:stop, reason}
    end
  end

  # A predecessor that was killed had no time to tidy up. One whose supervisor was killed is about
  # to, and would take back what this one publishes.
  defp succeed(%Shared{server: old, directory: directory}) do
    monitor = Process.monitor(old)

    receive do
      {:DOWN, ^monitor, :process, ^old, _reason} -> Directory.remove(directory)
    after
      @predecessor_timeout ->
        Process.exit(old, :kill)
        receive do: ({:DOWN, ^monitor, :process, ^old, _reason} -> Directory.remove(directory))
    end
  end

  @impl true
  def handle_call({:leave_queue, token, why}, _from, state) do
    case Queue.pop(state.queue, token) do
      {_entry, queue} ->
        Slots.add_waiting(state.pool.slots, -1)

        Slots.count(
          state.pool.slots,
          if(why == :queue_timeout, do: :queue_timeouts, else: :timeouts)
        )

        {:reply, :left, %{state | queue: queue}}

      nil ->
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
      case Queue.pop(state.queue, token) do
        {_entry, queue} ->
          Slots.add_waiting(state.pool.slots, -1)
          %{state | queue: queue}

        nil ->
          state
      end

    freed = Slots.reap(state.pool.slots, token)
    {:noreply, Enum.reduce(freed, state, &serve(&2, &1))}
  end

  def handle_info({:checkout, reply_to, token, start, target, manner}, state),
    do: {:noreply, checkout(state, reply_to, token, start, target, manner)}

  def handle_info({:slot_free, worker}, state), do: {:noreply, serve(state, worker)}

  def handle_info({:release, slot, token}, state) do
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

  def handle_info(_late_reply, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{pool: pool}) do
    Shared.unpublish(pool)
    Directory.remove(pool.directory)
  end

  # -- the queue

  defp checkout(%{draining: true} = state, reply_to, _token, _start, _target, _manner),
    do: refuse(state, reply_to, :draining)

  defp checkout(state, reply_to, token, start, target, manner) do
    %{pool: %{slots: slots, config: config}} = state
    Slots.add_waiting(slots, 1)

    with false <- Queue.waiting?(state.queue, target),
         {:ok, slot} <- Slots.claim(slots, target, token, start, skip(state.queue, target)) do
      grant(state, reply_to, slot)
    else
      _full ->
        cond do
          not Roster.reachable?(state.pool, target) ->
            Slots.add_waiting(slots, -1)
            refuse(state, reply_to, :grpc_unavailable)

          manner == :at_once ->
            Slots.add_waiting(slots, -1)
            refuse(state, reply_to, :worker_busy)

          Queue.size(state.queue) >= config.queue_limit ->
            Slots.add_waiting(slots, -1)
            Slots.count(slots, :rejected)
            refuse(state, reply_to, :pool_saturated)

          true ->
            %{state | queue: Queue.push(state.queue, target, token, reply_to)}
        end
    end
  end

  defp skip(_queue, worker) when is_integer(worker), do: []
  defp skip(queue, :any), do: Queue.wanted(queue)

  # Gives the free slots of a worker to those that wait for it.
  defp serve(%{draining: true} = state, _worker), do: answer_drainer(state)

  defp serve(%{pool: %{slots: slots}} = state, worker) do
    with {token, reply_to} <- Queue.peek(state.queue, worker),
         {:ok, slot} <- Slots.claim(slots, worker, token, 0, []) do
      {_entry, queue} = Queue.pop(state.queue, token)
      %{state | queue: queue} |> grant(reply_to, slot) |> serve(worker)
    else
      _nobody_or_full -> state
    end
  end

  defp grant(state, reply_to, slot) do
    Slots.add_waiting(state.pool.slots, -1)
    send(reply_to, {reply_to, {:ok, slot}})
    state
  end

  defp refuse(state, reply_to, reason) do
    send(reply_to, {reply_to, {:error, reason}})
    state
  end

  defp refuse_all(state, target, reason) do
    {entries, queue} = Queue.pop_all(state.queue, target)
    Slots.add_waiting(state.pool.slots, -length(entries))
    Enum.reduce(entries, %{state | queue: queue}, &refuse(&2, &1, reason))
  end

  # -- workers

  defp worker_news(state, index, pid, {:ready, channel, info}) do
    state = watch(state, index, pid)
    Roster.ready(state.pool, index, channel, info)
    state |> serve(index) |> answer_awaiting()
  end

  defp worker_news(state, index, pid, {:starting, info}) do
    state = watch(state, index, pid)
    Roster.starting(state.pool, index, info)
    state
  end

  defp worker_news(state, index, pid, {:failing, %Error{} = error}) do
    state = watch(state, index, pid)
    Roster.failing(state.pool, index)
    for from <- state.awaiting, do: GenServer.reply(from, {:error, error})

    [index | if(Roster.reachable?(state.pool, :any), do: [], else: [:any])]
    |> Enum.reduce(%{state | awaiting: []}, &refuse_all(&2, &1, :grpc_unavailable))
  end

  defp watch(%{workers: workers} = state, index, pid) do
    if workers[index] != pid, do: Process.monitor(pid, tag: {:worker_gone, index})
    %{state | workers: Map.put(workers, index, pid)}
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
