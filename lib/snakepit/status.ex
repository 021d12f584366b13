defmodule Snakepit.Status do
  @moduledoc """
  Everything that goes on, in one map: what the live page of `Snakepit.Endpoint` shows.

      for worker <- Snakepit.Status.snapshot().workers do
        IO.puts("\#{worker.id} \#{worker.state} \#{worker.cpu_percent} %")
      end

  It is read from memory that calls share, but for the length of a queue, which its pool tells; so it
  costs calls nothing, and costs nothing at all while nobody asks. It can be asked at any time, also
  while pools start, stop or crash.
  """

  alias Snakepit.Pool.{SessionTable, Shared, Stats, Streams}
  alias Snakepit.{Request, Status}

  @sessions 50

  @typedoc """
  What `snapshot/0` returns.

    * `:pools` - of each pool its `:name`, `:adapter`, `:queue_limit`, and all that
      `Snakepit.get_stats/1` tells
    * `:workers` - what `Snakepit.list_workers/1` tells, with the name of the `:pool`, `:age_ms`,
      `:rss_bytes`, and `:cpu_percent`: the share of one core since somebody last asked, `nil` the
      first time
    * `:streams` - those that run: `:id`, `:pool`, `:command`, `:worker_id`, `:request_id`,
      `:session_id`, the `:pid` of the consumer, `:shape`, `:age_ms`, how many `:chunks` and `:bytes`
      came from Python and how many were `:sent` there, `:stalled?`: whether Python waits for the
      consumer, how often it has (`:stalls`), and for how long altogether (`:stalled_ms`)
    * `:sessions` - the #{@sessions} of each pool that were used last: `:id`, `:pool`, `:worker_id`,
      `:age_ms`, `:idle_ms`
    * `:jobs` - of all services together: `:counts`, how many there are by state, and `:latest`, the
      status (see `Snakepit.Jobs.status/2`) of the last 20
    * `:errors` - the last 50 errors, the latest first: `:at`, `:pool`, `:command`, `:worker_id`,
      `:request_id`, `:kind`, `:message`. Arguments are never in them
  """
  @type snapshot :: %{
          at: DateTime.t(),
          node: node(),
          pools: [map()],
          workers: [map()],
          streams: [map()],
          sessions: [map()],
          jobs: %{counts: %{String.t() => non_neg_integer()}, latest: [map()]},
          errors: [map()]
        }

  @doc """
  How things are now.

      iex> snapshot = Snakepit.Status.snapshot()
      iex> for worker <- snapshot.workers, worker.pool == :default, do: {worker.id, worker.state}
      [{"default-1", :ready}]
  """
  @spec snapshot() :: snapshot()
  def snapshot do
    pools = Shared.all()

    %{
      at: DateTime.utc_now(),
      node: node(),
      pools: Enum.map(pools, &pool/1),
      workers: pools |> Enum.flat_map(&workers/1) |> with_usage(),
      streams: pools |> Enum.flat_map(&Streams.running/1) |> Enum.sort_by(& &1.id),
      sessions: Enum.flat_map(pools, &sessions/1),
      jobs: Status.Jobs.snapshot(),
      errors: Status.Errors.list()
    }
  end

  defp pool(%Shared{config: config} = pool) do
    config
    |> Map.take([:name, :adapter, :queue_limit])
    |> Map.merge(Stats.pool(pool))
  end

  defp workers(pool) do
    for worker <- Stats.workers(pool),
        do: Map.merge(worker, %{pool: pool.config.name, age_ms: Stats.age_ms(worker)})
  end

  defp with_usage(workers) do
    usage = Status.Usage.of(for %{os_pid: os_pid} <- workers, os_pid != nil, do: os_pid)
    unknown = %{rss_bytes: nil, cpu_percent: nil}
    Enum.map(workers, &Map.merge(&1, Map.get(usage, &1.os_pid, unknown)))
  end

  defp sessions(pool) do
    now = Request.now()
    today = System.system_time(:millisecond)

    for {id, worker, _incarnation, used, created, :live} <-
          pool.sessions
          |> SessionTable.live()
          |> Enum.sort_by(&elem(&1, 3), :desc)
          |> Enum.take(@sessions) do
      %{
        id: id,
        pool: pool.config.name,
        worker_id: Shared.worker_id(pool.config, worker),
        age_ms: today - created,
        idle_ms: now - used
      }
    end
  end
end
