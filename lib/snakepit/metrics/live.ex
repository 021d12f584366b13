defmodule Snakepit.Metrics.Live do
  @moduledoc false
  # What is read from the pools and the jobs when it is asked for.

  alias Snakepit.{Jobs, Pool}
  alias Snakepit.Jobs.{Board, Job}
  alias Snakepit.Pool.{Shared, Stats, Streams, Succession}
  alias Snakepit.Status.Usage

  @states [:starting, :ready, :failing, :leaving, :draining]

  @typedoc "By the name of the metric."
  @type t :: %{atom() => [{tuple(), number()}]}

  @spec read() :: t()
  def read do
    pools = for name <- Pool.names(), {:ok, pool} <- [Shared.fetch(name)], do: pool(name, pool)
    Enum.reduce([%{jobs: jobs()} | pools], %{}, &Map.merge(&2, &1, fn _, a, b -> a ++ b end))
  end

  defp pool(name, pool) do
    stats = Stats.pool(pool)
    workers = Stats.workers(pool)
    streams = Streams.running(pool)
    usage = Usage.total(for %{os_pid: os_pid} <- workers, os_pid != nil, do: os_pid)

    used =
      for %{os_pid: os_pid} = worker <- workers,
          is_map_key(usage, os_pid),
          do: {{name, worker.id}, usage[os_pid]}

    %{
      queue_length: [{{name}, stats.queued}],
      slots: [{{name, :busy}, stats.busy_slots}, {{name, :free}, stats.free_slots}],
      sessions: [{{name}, stats.sessions}],
      streams_running: [{{name}, length(streams)}],
      streams_stalled: [{{name}, Enum.count(streams, & &1.stalled?)}],
      workers:
        for(state <- @states, do: {{name, state}, Enum.count(workers, &(&1.state == state))}),
      worker_in_flight: for(worker <- workers, do: {{name, worker.id}, worker.in_flight}),
      worker_requests: for(worker <- workers, do: {{name, worker.id}, worker.requests}),
      worker_memory: for({labels, {rss, _cpu_ms}} <- used, do: {labels, rss}),
      worker_cpu: for({labels, {_rss, cpu_ms}} <- used, do: {labels, cpu_ms / 1000}),
      worker_uptime:
        for(
          %{started_at: %DateTime{} = started_at} = worker <- workers,
          do:
            {{name, worker.id},
             DateTime.diff(DateTime.utc_now(), started_at, :millisecond) / 1000}
        )
    }
  end

  defp jobs do
    for name <- Succession.names(Jobs.Server),
        {:ok, board} <- [Board.fetch(name)],
        state <- Job.states(),
        do: {{name, state}, Board.count(board, state)}
  end
end
