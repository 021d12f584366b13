defmodule Snakepit.Metrics.Recorder do
  @moduledoc false
  # What of an event is counted.

  alias Snakepit.Metrics.Store

  @doc """
  A call has ended, after so many nanoseconds.
  """
  @spec call(atom(), String.t(), atom(), integer()) :: :ok
  def call(pool, command, outcome, ns),
    do: Store.observe_command(:call_duration, pool, command, ns, outcome)

  @spec stream(atom(), String.t(), atom(), integer(), Snakepit.Telemetry.reading()) :: :ok
  def stream(pool, command, outcome, duration, reading) do
    labels = {pool, command} = {pool, Store.command_label(pool, command, outcome)}
    Store.observe(:stream_duration, labels, nanoseconds(duration), outcome)
    if reading.first_chunk, do: observe(:stream_first_chunk, labels, reading.first_chunk)

    if reading.chunks > 0,
      do: Store.count(:stream_chunks, {pool, command, :received}, reading.chunks)

    if reading.sent > 0, do: Store.count(:stream_chunks, {pool, command, :sent}, reading.sent)
    if reading.bytes > 0, do: Store.count(:stream_bytes, labels, reading.bytes)

    if reading.stalls > 0 do
      Store.count(:stream_stalls, labels, reading.stalls)
      Store.count(:stream_stalled, labels, nanoseconds(reading.stalled))
    end

    :ok
  end

  @spec event([atom()], map(), map()) :: :ok
  def event(name, measurements, metadata)

  def event([:queue, :wait], %{duration: duration}, %{pool: pool, command: command}),
    do: observe(:queue_wait, {pool, Store.command_label(pool, command)}, duration)

  def event([:queue, :reject], _count, %{pool: pool, reason: reason}),
    do: Store.count(:rejected, {pool, reason})

  def event([:cancel], %{duration: duration}, %{pool: pool, why: why}) do
    Store.count(:cancels, {pool, why})
    observe(:cancel_duration, {pool}, duration)
  end

  def event([:job, :stop], measurements, %{jobs: jobs, state: state}),
    do: job(jobs, state, measurements)

  def event([:job, :exception], measurements, %{jobs: jobs}),
    do: job(jobs, "failed", measurements)

  def event([:worker_start, :stop], %{duration: duration}, %{pool: pool}) do
    Store.count(:worker_starts, {pool, :ok})
    observe(:worker_start_duration, {pool}, duration)
  end

  def event([:worker_start, :exception], _duration, %{pool: pool}),
    do: Store.count(:worker_starts, {pool, :error})

  def event([:worker, :exit], _uptime, %{pool: pool, why: why}),
    do: Store.count(:worker_exits, {pool, why})

  def event([:worker, :restart], _delay, %{pool: pool}), do: Store.count(:worker_restarts, {pool})

  def event([:worker, :recycle], _count, %{pool: pool}),
    do: Store.count(:workers_recycled, {pool})

  def event([:health, :check], _duration, %{pool: pool, result: result}),
    do: Store.count(:health_checks, {pool, result})

  def event([:session, what], _count, %{pool: pool}),
    do: Store.count(:session_events, {pool, what})

  def event([:log, :dropped], %{count: count}, %{source: source}),
    do: Store.count(:log_dropped, {source}, count)

  def event(_not_counted, _measurements, _metadata), do: :ok

  defp job(jobs, state, %{duration: duration}) do
    Store.count(:jobs_finished, {jobs, state})
    observe(:job_duration, {jobs}, duration)
  end

  defp observe(name, labels, duration), do: Store.observe(name, labels, nanoseconds(duration))

  defp nanoseconds(duration), do: System.convert_time_unit(duration, :native, :nanosecond)
end
