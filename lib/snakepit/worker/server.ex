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
  alias Snakepit.Pool.{Shared, Succession}
  alias Snakepit.Worker.{Backoff, Channel, Crash, Events, Link, Log, News}

  # The supervisor gives a worker no longer than this after shutdown_timeout.
  @kill_wait 3_000
  # Between two questions to a program that does not tell when it is ready.
  @ask_again 50

  # How long the news of the end of a process may take that callers have noticed already.
  @news_wait 200

  defstruct [
    :pool,
    :index,
    :id,
    :link,
    :health_ref,
    :timer,
    :started_at,
    :stop_at,
    # In monotonic time: the start of the program, and the latest health check.
    :begun,
    :asked,
    :drops,
    phase: :starting,
    starts: 0,
    failures: 0,
    misses: 0,
    suspected: false,
    killed: false
  ]

  @impl true
  def init({config, index}) do
    # So that terminate/2 runs and no Python is left behind.
    Process.flag(:trap_exit, true)

    with {:ok, pool} <- Shared.fetch(config.name) do
      id = Shared.worker_id(config, index)
      Logger.metadata(worker_id: id)
      link = Link.new(id, config)
      {:ok, %__MODULE__{pool: pool, index: index, id: id, link: link}, {:continue, :start}}
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
  def handle_info({ref, answer}, %{health_ref: ref} = state) when is_reference(ref),
    do: {:noreply, state |> heard_of_health(answer) |> checked(answer)}

  def handle_info({:timeout, timer, :startup}, %{timer: timer} = state) do
    waited = startup_timeout(state)
    {:noreply, not_ready(state, "was not ready within #{waited} ms")}
  end

  def handle_info({:timeout, timer, :restart}, %{timer: timer} = state),
    do: {:noreply, start(state)}

  def handle_info({:timeout, timer, {:unreachable, reason}}, %{timer: timer} = state),
    do: {:noreply, ended(state, "was stopped: its connection is gone (#{inspect(reason)})")}

  def handle_info({:timeout, timer, :check}, %{timer: timer} = state),
    do: {:noreply, check(%{state | timer: nil})}

  def handle_info({:ask_again, channel}, %{phase: :starting, link: %{channel: channel}} = state),
    do: {:noreply, ask_health(state, state.pool.config.health.timeout)}

  # A caller lost its connection, and the pool gives this worker no calls until it is announced
  # again. Python may be gone without the port knowing: as long as a child of it holds the
  # pipe open, there is no exit status.
  def handle_info({:suspect, channel}, %{phase: :ready, link: %{channel: channel}} = state),
    do: {:noreply, check(%{state | suspected: true})}

  def handle_info({:timeout, timer, :drops}, %{drops: timer} = state),
    do: {:noreply, Log.tell_drops(state)}

  def handle_info({:log_level, level}, state) do
    Log.set_level(state.link, level)
    {:noreply, state}
  end

  def handle_info(:stop_process, state), do: {:noreply, begin_stop(state)}

  # What ports, timers and checks of earlier processes still send is unknown to the link.
  def handle_info(message, state) do
    case Link.message(state.link, message) do
      {:items, items, link} ->
        {:noreply,
         items |> Enum.reduce(%{state | link: link}, &handle_item/2) |> Log.tell_drops_later()}

      {:quiet, link} ->
        {:noreply, %{state | link: link}}

      {:ended, how} ->
        {:noreply, state |> hear_last_words() |> ended(how)}

      :unknown ->
        {:noreply, state}
    end
  end

  @impl true
  def terminate(_reason, state) do
    state = begin_stop(state)
    how = if state.killed, do: :kill, else: :end
    link = Link.await_end(state.link, how, state.stop_at, &Log.item(&1, state))
    Log.tell_drops(%{state | link: link})
    stopped(state)
    Link.clean(link)
  end

  # -- start

  defp start(state) do
    announce(state, {:starting, %{pid: self(), os_pid: nil, address: nil}})
    state = %{state | phase: :starting, starts: state.starts + 1, begun: now()}
    Events.starting(state)

    case Link.open(state.pool, state.index, state.id, state.starts - 1) do
      {:ok, link} ->
        timer = :erlang.start_timer(startup_timeout(state), self(), :startup)
        started(%{state | link: link, timer: timer, started_at: DateTime.utc_now()})

      {:error, %Error{} = error} ->
        start_failed(state, error)
    end
  end

  # Of a program that listens nowhere, or does not tell when, the first answer shows that it is
  # ready.
  defp started(%{link: %{channel: nil}} = state), do: state
  defp started(state), do: ask_health(state, startup_timeout(state))

  defp handle_item({:control, %{"event" => "ready"}}, %{phase: :starting, link: link} = state)
       when link.channel == nil do
    case Link.connect(link) do
      {:ok, link} -> ask_health(%{state | link: link}, state.pool.config.connection_timeout)
      {:error, error} -> start_failed(state, error)
    end
  end

  defp handle_item(item, state), do: Log.pass_on(state, item)

  # -- health

  defp check(%{health_ref: nil} = state),
    do: ask_health(cancel_timer(state), state.pool.config.health.timeout)

  defp check(state), do: state

  defp ask_health(state, timeout) do
    ref = make_ref()
    Channel.ask_health(state.link.channel, ref, max(timeout, 1))
    %{state | health_ref: ref, asked: now()}
  end

  # A program that does not tell when it is ready is not ill before.
  defp heard_of_health(state, answer) do
    unless state.phase == :starting and match?({:error, _reason}, answer),
      do: Events.checked(state, answer)

    %{state | health_ref: nil}
  end

  defp checked(%{phase: :starting} = state, {:ok, %{"healthy" => true} = health}) do
    case Link.ready(state.link, health) do
      {:ok, link} ->
        state = %{state | link: link, phase: :ready}
        Events.started(state)
        state |> cancel_timer() |> announce_ready(health) |> check_later()

      {:error, reason} ->
        not_ready(state, "could not be connected to by its adapter (#{inspect(reason)})")
    end
  end

  defp checked(%{phase: :starting} = state, answer) do
    if Link.patient?(state.link) do
      Process.send_after(self(), {:ask_again, state.link.channel}, @ask_again)
      %{state | link: Link.refused(state.link, answer)}
    else
      not_ready(state, "did not answer a health check (#{inspect(answer)})")
    end
  end

  defp checked(%{phase: :ready, suspected: true} = state, {:ok, health}),
    do: state |> announce_ready(health) |> check_later()

  defp checked(%{phase: :ready} = state, {:ok, health}) do
    News.tell_size(state.pool, state.index, health)
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

  # Most often it has ended, and the news of how are on their way.
  defp checked(%{phase: :ready} = state, {:error, reason}) do
    announce(state, {:starting, %{}})
    timer = :erlang.start_timer(@news_wait, self(), {:unreachable, reason})
    %{cancel_timer(state) | timer: timer}
  end

  defp checked(state, _late), do: state

  defp check_later(state) do
    timer = :erlang.start_timer(state.pool.config.health.interval, self(), :check)
    %{state | timer: timer}
  end

  # -- end

  defp not_ready(state, what) do
    state = hear_last_words(state)
    start_failed(state, Link.crashed(state.link, what))
  end

  defp start_failed(state, error) do
    Logger.error(Exception.message(error))
    Events.not_started(state, error)
    announce(state, {:failing, error})
    failures = state.failures + 1
    state |> discard() |> restart_after(Backoff.delay(failures), failures)
  end

  # The process ended by itself.
  defp ended(%{phase: :starting} = state, how),
    do: start_failed(state, Link.crashed(state.link, "#{how} before it was ready"))

  defp ended(%{phase: :ready} = state, how) do
    lifetime = DateTime.diff(DateTime.utc_now(), state.started_at, :millisecond)
    failures = Backoff.after_end(state.failures, lifetime)
    delay = Backoff.delay(failures)
    open = Backoff.open?(failures + 1)
    how = if open, do: how <> Crash.circuit_open(failures + 1, delay), else: how
    error = Link.crashed(state.link, how)

    Events.ended(state, :crashed, how)
    announce(state, if(open, do: {:failing, error}, else: {:starting, %{os_pid: nil}}))
    Logger.error(Exception.message(error))
    state |> discard() |> restart_after(delay, failures + 1)
  end

  # Before its supervisor came to tell it.
  defp ended(%{phase: :stopping} = state, _how) do
    stopped(state)
    discard(state)
  end

  defp ended(state, _how), do: discard(state)

  defp stopped(state), do: Events.ended(state, :stopped, "was told to end")

  defp hear_last_words(state) do
    {items, link} = Link.last_words(state.link)
    Enum.each(items, &Log.item(&1, state))
    Log.tell_drops(%{state | link: link})
  end

  defp restart_after(state, delay, failures) do
    Events.restarting(state, delay, failures)
    timer = :erlang.start_timer(delay, self(), :restart)
    %{state | phase: :waiting, failures: failures, timer: timer}
  end

  defp discard(state) do
    Link.discard(state.link)
    link = Link.new(state.id, state.pool.config)
    %{cancel_timer(state) | link: link, health_ref: nil}
  end

  # Calls that have not ended by now are cut off; Python then has the same time for its
  # own farewell.
  defp begin_stop(%{phase: :stopping} = state), do: state

  defp begin_stop(state) do
    announce(state, {:starting, %{address: nil}})
    Link.close_channel(state.link)
    # What has served nobody has no farewell to say.
    state = %{state | killed: state.phase == :starting}
    unless state.killed, do: Link.terminate(state.link)
    stop_at = Request.now() + state.pool.config.shutdown_timeout
    %{cancel_timer(state) | phase: :stopping, health_ref: nil, stop_at: stop_at}
  end

  # -- helpers

  defp announce_ready(state, health) do
    {:ready, _channel, info} = news = News.ready(state.link, state.started_at, health)
    announce(state, news)
    Events.ready(state, info)
    %{state | misses: 0, suspected: false}
  end

  defp now, do: System.monotonic_time()

  defp announce(state, news), do: News.tell(state.pool, state.index, news)

  # The worker speaks up before the pool gives up on it: it knows the last lines.
  defp startup_timeout(%{pool: %{config: config}}),
    do: min(config.server_startup_timeout, config.worker_init_timeout)

  defp cancel_timer(%{timer: nil} = state), do: state

  defp cancel_timer(%{timer: timer} = state) do
    :erlang.cancel_timer(timer)
    %{state | timer: nil}
  end
end
