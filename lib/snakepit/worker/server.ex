defmodule Snakepit.Worker.Server do
  @moduledoc false
  # The process of one worker. It goes through these phases, and only here:
  #
  #   starting   Python was started; it says when it listens, and then answers a health check
  #   ready      the pool may give it calls; health checks go on
  #   waiting    Python ended or could not be started; a timer starts it again
  #   stopping   Python was told to end, for good

  use GenServer

  require Logger

  alias Snakepit.{Error, Request}
  alias Snakepit.GRPC.{Channel, Native}
  alias Snakepit.Pool.{Shared, Succession}
  alias Snakepit.Worker.{Address, Backoff, CommandLine, Crash, Log, OsProcess, Output}

  # The supervisor gives a worker no longer than this after shutdown_timeout.
  @kill_wait 3_000

  defstruct [
    :pool,
    :index,
    :id,
    :address,
    :process,
    :channel,
    :health_ref,
    :timer,
    :started_at,
    :stop_at,
    phase: :starting,
    starts: 0,
    failures: 0,
    misses: 0,
    suspected: false,
    killed: false,
    output: Output.new()
  ]

  @impl true
  def init({config, index}) do
    # So that terminate/2 runs and no Python is left behind.
    Process.flag(:trap_exit, true)

    with {:ok, pool} <- Shared.fetch(config.name) do
      id = Shared.worker_id(config, index)
      Logger.metadata(worker_id: id)
      {:ok, %__MODULE__{pool: pool, index: index, id: id}, {:continue, :start}}
    else
      {:error, reason} -> {:stop, reason}
    end
  end

  @impl true
  def handle_continue(:start, state) do
    # Its process, its socket and its port are still there.
    Succession.claim({__MODULE__, state.id}, state.pool.config.shutdown_timeout + @kill_wait)
    {:noreply, start(state)}
  end

  @impl true
  def handle_call(:locate, _from, state), do: {:reply, {:ok, state.pool, state.index}, state}

  @impl true
  def handle_info({port, {:data, data}}, %{process: %{port: port}} = state) do
    {items, output} = Output.feed(state.output, data)
    {:noreply, Enum.reduce(items, %{state | output: output}, &handle_item/2)}
  end

  def handle_info({port, {:exit_status, status}}, %{process: %{port: port}} = state),
    do: {:noreply, ended(state, "ended with status #{status}")}

  def handle_info({port, :ended}, %{process: %{port: port} = process} = state) do
    OsProcess.clear(process)
    {:noreply, state}
  end

  def handle_info({port, :no_status}, %{process: %{port: port}} = state),
    do: {:noreply, ended(state, "ended, and a process that left its group holds its output")}

  def handle_info({:EXIT, port, reason}, %{process: %{port: port}} = state),
    do: {:noreply, ended(state, "ended without a status (#{inspect(reason)})")}

  def handle_info({ref, answer}, %{health_ref: ref} = state) when is_reference(ref),
    do: {:noreply, checked(%{state | health_ref: nil}, answer)}

  def handle_info({:timeout, timer, :startup}, %{timer: timer} = state) do
    waited = startup_timeout(state)
    {:noreply, start_failed(state, crashed(state, "was not ready within #{waited} ms"))}
  end

  def handle_info({:timeout, timer, :restart}, %{timer: timer} = state),
    do: {:noreply, start(state)}

  def handle_info({:timeout, timer, :check}, %{timer: timer} = state),
    do: {:noreply, check(%{state | timer: nil})}

  # A caller lost its connection, and the pool gives this worker no calls until it is announced
  # again. Python may be gone without the port knowing: as long as a child of it holds the
  # pipe open, there is no exit status.
  def handle_info({:suspect, channel}, %{phase: :ready, channel: channel} = state),
    do: {:noreply, check(%{state | suspected: true})}

  def handle_info(:stop_process, state), do: {:noreply, begin_stop(state)}

  # What ports, timers and checks of earlier processes still send.
  def handle_info(_late, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    state = begin_stop(state)

    if state.process do
      end_process = if state.killed, do: &OsProcess.await_kill/3, else: &OsProcess.await_end/3

      end_process.(state.process, state.stop_at, fn data ->
        {items, _output} = Output.feed(Output.new(), data)
        Enum.each(items, &Log.item/1)
      end)
    end

    if state.address, do: Address.clean(state.address)
  end

  # -- start

  defp start(state) do
    announce(state, {:starting, %{pid: self(), os_pid: nil, address: nil}})
    state = %{state | phase: :starting, output: Output.new(), starts: state.starts + 1}

    with :ok <- Native.loaded(),
         {:ok, address} <- Address.choose(state.pool, state.index, state.starts - 1),
         state = %{state | address: address},
         {:ok, command} <- CommandLine.build(state.pool.config, state.id, address),
         {:ok, process} <- OsProcess.open(command.executable, command.args, command.env) do
      timer = :erlang.start_timer(startup_timeout(state), self(), :startup)
      %{state | process: process, timer: timer, started_at: DateTime.utc_now()}
    else
      {:error, %Error{} = error} -> start_failed(state, error)
    end
  end

  defp handle_item({:control, %{"event" => "ready"}}, %{phase: :starting, channel: nil} = state) do
    config = state.pool.config

    opened =
      Channel.open(Address.target(state.address),
        token: Address.token(state.address),
        max_message_size: config.max_message_size,
        connect_timeout: config.connection_timeout,
        worker_id: state.id
      )

    case opened do
      {:ok, channel} ->
        ask_health(%{state | channel: channel}, config.connection_timeout)

      {:error, error} ->
        start_failed(state, error)
    end
  end

  defp handle_item(item, state) do
    Log.item(item)
    state
  end

  # -- health

  defp check(%{health_ref: nil} = state),
    do: ask_health(cancel_timer(state), state.pool.config.health.timeout)

  defp check(state), do: state

  defp ask_health(state, timeout) do
    ref = make_ref()
    Native.health(state.channel.native, ref, max(timeout, 1))
    %{state | health_ref: ref}
  end

  defp checked(%{phase: :starting} = state, {:ok, %{"healthy" => true} = health}) do
    state = %{state | channel: Channel.negotiate(state.channel, health), phase: :ready}
    state |> cancel_timer() |> announce_ready(health) |> check_later()
  end

  defp checked(%{phase: :starting} = state, answer) do
    start_failed(state, crashed(state, "did not answer a health check (#{inspect(answer)})"))
  end

  defp checked(%{phase: :ready, suspected: true} = state, {:ok, health}),
    do: state |> announce_ready(health) |> check_later()

  defp checked(%{phase: :ready} = state, {:ok, health}) do
    announce_size(state, health)
    check_later(%{state | misses: 0})
  end

  defp checked(%{phase: :ready} = state, {:error, :worker_timeout}) do
    case state.misses + 1 do
      misses when misses < state.pool.config.health.max_misses ->
        check_later(%{state | misses: misses})

      misses ->
        ended(state, "was stopped: it did not answer #{misses} health checks")
    end
  end

  defp checked(%{phase: :ready} = state, {:error, reason}),
    do: ended(state, "was stopped: its connection is gone (#{inspect(reason)})")

  defp checked(state, _late), do: state

  defp check_later(state) do
    timer = :erlang.start_timer(state.pool.config.health.interval, self(), :check)
    %{state | timer: timer}
  end

  defp start_failed(state, error) do
    Logger.error(Exception.message(error))
    announce(state, {:failing, error})
    failures = state.failures + 1
    state |> discard() |> restart_after(Backoff.delay(failures), failures)
  end

  # -- end

  # The process ended by itself.
  defp ended(%{phase: :starting} = state, how),
    do: start_failed(state, crashed(state, "#{how} before it was ready"))

  defp ended(%{phase: :ready} = state, how) do
    lifetime = DateTime.diff(DateTime.utc_now(), state.started_at, :millisecond)
    failures = Backoff.after_end(state.failures, lifetime)
    delay = Backoff.delay(failures)
    open = Backoff.open?(failures + 1)

    error =
      crashed(state, if(open, do: how <> Crash.circuit_open(failures + 1, delay), else: how))

    announce(state, if(open, do: {:failing, error}, else: {:starting, %{os_pid: nil}}))
    Logger.error(Exception.message(error))
    state |> discard() |> restart_after(delay, failures + 1)
  end

  defp ended(%{phase: :stopping} = state, _how), do: discard(state)

  defp restart_after(state, delay, failures) do
    timer = :erlang.start_timer(delay, self(), :restart)
    %{state | phase: :waiting, failures: failures, timer: timer}
  end

  # Ends every call on the connection and kills what is left of the process and its children.
  defp discard(state) do
    if state.channel, do: Channel.close(state.channel)

    if state.process do
      OsProcess.kill(state.process)
      OsProcess.close(state.process.port)
    end

    if state.address, do: Address.clean(state.address)
    %{cancel_timer(state) | channel: nil, health_ref: nil, process: nil, address: nil}
  end

  # Calls that have not ended by now are cut off; Python then has the same time for its
  # own farewell.
  defp begin_stop(%{phase: :stopping} = state), do: state

  defp begin_stop(state) do
    announce(state, {:starting, %{address: nil}})
    if state.channel, do: Channel.close(state.channel)
    # What has served nobody has no farewell to say.
    state = %{state | killed: state.phase == :starting}
    if state.process && not state.killed, do: OsProcess.terminate(state.process)
    stop_at = Request.now() + state.pool.config.shutdown_timeout
    %{cancel_timer(state) | phase: :stopping, channel: nil, health_ref: nil, stop_at: stop_at}
  end

  # -- helpers

  defp announce_ready(state, health) do
    info = %{
      pid: self(),
      os_pid: state.process.os_pid,
      address: state.channel.target,
      started_at: state.started_at,
      transport: health["transport"]
    }

    announce(state, {:ready, state.channel, info})
    %{state | misses: 0, suspected: false}
  end

  defp announce_size(%{pool: %{config: %{recycle: %{max_rss_mb: limit}}} = pool} = state, health)
       when is_integer(limit) do
    incarnation = Shared.incarnation(pool, state.index)
    send(pool.server, {:recycler, {:size, state.index, incarnation, health["rss_bytes"]}})
  end

  defp announce_size(_state, _health), do: :ok

  defp announce(%{pool: pool, index: index}, news),
    do: send(pool.server, {:worker, index, self(), news})

  # The worker speaks up before the pool gives up on it: it knows the last lines.
  defp startup_timeout(%{pool: %{config: config}}),
    do: min(config.server_startup_timeout, config.worker_init_timeout)

  defp cancel_timer(%{timer: nil} = state), do: state

  defp cancel_timer(%{timer: timer} = state) do
    :erlang.cancel_timer(timer)
    %{state | timer: nil}
  end

  defp crashed(state, what), do: Crash.error(state.id, state.process, state.output, what)
end
