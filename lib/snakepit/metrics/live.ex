defmodule Snakepit.Metrics.Live do
  @moduledoc false
  # What is read from the pools and the jobs when it is asked for.

  alias Snakepit.Jobs.{Board, Job}
  alias Snakepit.Pool.{Shared, Stats, Streams}
  alias Snakepit.Status.Usage

  @states [:starting, :ready, :failing, :leaving, :draining]

  @typedoc "By the name of the metric."
  @type t :: %{atom() => [{tuple(), number()}]}

  @spec read() :: t()
  def read do
    pools = Enum.map(Shared.all(), &pool/1)
    Enum.reduce([%{jobs: jobs()} | pools], %{}, &Map.merge(&2, &1, fn _, a, b -> a ++ b end))
  end

  defp pool(%{config: %{name: name}} = pool) do
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
          worker <- workers,
          age_ms = Stats.age_ms(worker),
          do: {{name, worker.id}, age_ms / 1000}
        )
    }
  end

  defp jobs do
    for board <- Board.all(),
        state <- Job.states(),
        do: {{board.config.name, state}, Board.count(board, state)}
  end
end
