defmodule Snakepit.Pool.Lease do
  @moduledoc false
  # The right to run one call on one worker. Taking and returning it happens in
  # the caller, on shared memory; the pool's server is asked only when the caller must wait.

  alias Snakepit.{Error, Request, Telemetry}
  alias Snakepit.Pool.{Server, SessionTable, Shared, Slots, Stats}

  @enforce_keys [:pool, :slot, :token, :channel]
  defstruct [:pool, :slot, :token, :channel, :session]

  @type t :: %__MODULE__{
          pool: Shared.t(),
          slot: Slots.slot(),
          token: Slots.token(),
          channel: Snakepit.Worker.Channel.t(),
          session: String.t() | nil
        }

  @doc """
  Takes a slot of `target`, waiting in the queue of the pool when there is none.
  """
  @spec checkout(Shared.t(), Slots.target(), Request.t()) ::
          {:ok, t()} | {:error, Snakepit.Error.condition()}
  def checkout(%Shared{} = pool, target, %Request{} = request),
    do: checkout(pool, target, request, :queue)

  @doc """
  Takes a slot of one worker if it has one: `:worker_busy` otherwise.
  """
  @spec try(Shared.t(), Slots.worker(), Request.t()) ::
          {:ok, t()} | {:error, Snakepit.Error.condition()}
  def try(%Shared{} = pool, worker, %Request{} = request),
    do: checkout(pool, worker, request, :at_once)

  defp checkout(pool, target, request, manner) do
    %{token: token, start: start} = caller = caller(pool)

    taken =
      case Slots.take(pool.slots, target, token, start) do
        {:ok, slot} -> {:ok, slot}
        :full -> wait_timed(pool, target, token, start, request, manner)
      end

    with {:ok, slot} <- taken do
      worker = Slots.worker(pool.slots, slot)

      case channel(pool, worker, caller) do
        {:ok, channel} ->
          report_due(pool, worker)
          {:ok, %__MODULE__{pool: pool, slot: slot, token: token, channel: channel}}

        # The worker went down in between. Nothing was sent, so another one may do it.
        :down ->
          give_back(pool, slot)
          checkout(pool, target, request, manner)

        :pool_down ->
          {:error, :grpc_unavailable}
      end
    end
  end

  @spec release(t()) :: :ok
  def release(%__MODULE__{pool: pool, slot: slot, session: session}) do
    if session, do: SessionTable.leave(pool.sessions, slot)
    give_back(pool, slot)
  end

  @doc """
  What the pool's server must be sent to end this lease when the caller cannot.
  """
  @spec release_message(t()) :: {pid(), term()}
  def release_message(%__MODULE__{pool: pool, slot: slot, token: token}),
    do: {pool.server, {:release, slot, token}}

  @doc """
  Notes how the call ended, and returns its result.
  """
  @spec note(result, t()) :: result when result: term()
  def note({:error, reason} = result, %__MODULE__{pool: pool} = lease) do
    Stats.count_error(pool, reason)
    if suspicious?(reason), do: suspect(lease)
    result
  end

  def note(result, _lease), do: result

  defp suspicious?(%Error{kind: kind}), do: kind == :protocol
  defp suspicious?(reason), do: reason in [:worker_exited, :grpc_unavailable]

  @doc """
  The caller knows before the pool that the worker is gone. When this returns the pool knows too: a
  call made now waits for the next process instead of failing on the last.
  """
  @spec suspect(t()) :: :ok
  def suspect(%__MODULE__{pool: pool, slot: slot, channel: channel}),
    do: Server.suspect(pool.server, Slots.worker(pool.slots, slot), channel)

  defp give_back(%Shared{slots: slots, server: server}, slot) do
    :ok = Slots.release(slots, slot)

    # Whoever begins to wait raises the flag first and looks for a slot then; here the
    # slot is freed first and the flag read then. One of the two sees the other.
    # It is the same with a worker that drains.
    worker = Slots.worker(slots, slot)

    if Slots.waiting?(slots) or Slots.draining?(slots, worker),
      do: send(server, {:slot_free, worker})

    :ok
  end

  # The call that uses up what a worker may serve says so itself; the worker serves on until its
  # successor is there.
  defp report_due(%{recycle: false}, _worker), do: :ok

  defp report_due(%{slots: slots, server: server} = pool, worker) do
    if Slots.used_up?(slots, worker),
      do: send(server, {:recycler, {:used_up, worker, Shared.incarnation(pool, worker)}})

    :ok
  end

  # What a process keeps of the pool, for each generation of it. The server hears of the token
  # before it can stand in a slot, and watches the process from then on.
  defp caller(%Shared{key: key, generation: generation} = pool) do
    case Process.get(key) do
      %{generation: ^generation} = caller ->
        caller

      _none ->
        token = Slots.new_token(pool.slots)
        start = :erlang.phash2(token, pool.slots.size)
        send(pool.server, {:caller, self(), token})
        keep(pool, %{generation: generation, token: token, start: start, channels: %{}})
    end
  end

  # Read from the table once for each edition: a copy of it counts the references to the connection,
  # which all callers would write.
  defp channel(pool, worker, %{channels: channels} = caller) do
    edition = Slots.edition(pool.slots, worker)

    case channels do
      %{^worker => {^edition, channel}} ->
        {:ok, channel}

      _other ->
        with {:ok, channel} <- Shared.channel(pool, worker) do
          keep(pool, %{caller | channels: Map.put(channels, worker, {edition, channel})})
          {:ok, channel}
        end
    end
  end

  defp keep(%Shared{key: key}, caller) do
    Process.put(key, caller)
    caller
  end

  defp wait_timed(pool, target, token, start, request, manner) do
    started = System.monotonic_time()
    result = wait(pool, target, token, start, request, manner)
    Telemetry.waited(pool, request, started, result)
    result
  end

  defp wait(pool, target, token, start, request, manner) do
    {patience, expired} = patience(request, pool.config.queue_timeout)
    monitor = Process.monitor(pool.server, alias: :reply_demonitor)
    send(pool.server, {:checkout, monitor, {token, start}, target, manner})

    receive do
      {^monitor, answer} -> answer
      {:DOWN, ^monitor, :process, _pid, _reason} -> {:error, :grpc_unavailable}
    after
      patience -> give_up(pool, monitor, token, expired)
    end
  end

  # Which ends first, and what that is called.
  defp patience(request, default) do
    queue_timeout = request.queue_timeout || default

    case Request.remaining(request) do
      left when left < queue_timeout -> {left, :worker_timeout}
      _more -> {queue_timeout, :queue_timeout}
    end
  end

  # A slot may have been granted in this very moment: then its message is here before
  # the answer to this call, and it is used.
  defp give_up(pool, monitor, token, expired) do
    Server.leave_queue(pool.server, token, expired)
  catch
    :exit, _server_gone -> {:error, :grpc_unavailable}
  else
    :left ->
      Process.demonitor(monitor, [:flush])
      {:error, expired}

    :not_queued ->
      receive do
        {^monitor, answer} -> answer
        {:DOWN, ^monitor, :process, _pid, _reason} -> {:error, :grpc_unavailable}
      end
  end
end
