defmodule Snakepit.Metrics.Catalog do
  @moduledoc false
  # Every metric there is: what it is called outside, and where its numbers come from.

  @type source ::
          {:live, atom()}
          | {:counter, atom()}
          | {:seconds, atom()}
          | {:histogram, atom()}
          | :outcomes
  @type t :: %{
          name: String.t(),
          type: :counter | :gauge | :histogram,
          labels: [atom()],
          help: String.t(),
          source: source()
        }

  @command [:pool, :command]
  @worker [:pool, :worker]

  @metrics [
    {"calls_total", :counter, @command ++ [:type, :result], :outcomes,
     "calls and streams that have ended"},
    {"call_duration_seconds", :histogram, @command, {:histogram, :call_duration},
     "time of a call, its waiting included"},
    {"stream_duration_seconds", :histogram, @command, {:histogram, :stream_duration},
     "time of a stream, its waiting included"},
    {"stream_first_chunk_seconds", :histogram, @command, {:histogram, :stream_first_chunk},
     "time from a worker slot to the first chunk"},
    {"stream_chunks_total", :counter, @command ++ [:direction], {:counter, :stream_chunks},
     "chunks of the streams that have ended"},
    {"stream_bytes_total", :counter, @command, {:counter, :stream_bytes},
     "bytes of chunks received"},
    {"stream_stalls_total", :counter, @command, {:counter, :stream_stalls},
     "times a consumer held its producer up"},
    {"stream_stalled_seconds_total", :counter, @command, {:seconds, :stream_stalled},
     "time consumers held their producers up"},
    {"streams_running", :gauge, [:pool], {:live, :streams_running}, "streams at this moment"},
    {"streams_stalled", :gauge, [:pool], {:live, :streams_stalled},
     "those that wait for their consumer"},
    {"queue_wait_seconds", :histogram, @command, {:histogram, :queue_wait},
     "time of those callers that had to wait for a slot"},
    {"queue_length", :gauge, [:pool], {:live, :queue_length}, "callers that wait for a slot"},
    {"rejected_total", :counter, [:pool, :reason], {:counter, :rejected},
     "callers that got no slot"},
    {"slots", :gauge, [:pool, :state], {:live, :slots}, "slots, busy and free"},
    {"cancels_total", :counter, [:pool, :why], {:counter, :cancels},
     "cancelled calls whose handler has ended"},
    {"cancel_duration_seconds", :histogram, [:pool], {:histogram, :cancel_duration},
     "time from the cancellation to the end of the handler"},
    {"workers", :gauge, [:pool, :state], {:live, :workers}, "workers by their state"},
    {"worker_in_flight", :gauge, @worker, {:live, :worker_in_flight},
     "calls and streams that run on a worker"},
    {"worker_requests_total", :counter, @worker, {:live, :worker_requests},
     "calls and streams a worker's present process has begun"},
    {"worker_uptime_seconds", :gauge, @worker, {:live, :worker_uptime}, "age of its process"},
    {"worker_resident_memory_bytes", :gauge, @worker, {:live, :worker_memory},
     "resident memory of its process"},
    {"worker_cpu_seconds_total", :counter, @worker, {:live, :worker_cpu},
     "processor time of its process"},
    {"worker_starts_total", :counter, [:pool, :result], {:counter, :worker_starts},
     "worker processes that were started"},
    {"worker_start_duration_seconds", :histogram, [:pool], {:histogram, :worker_start_duration},
     "time from the start of a worker to its readiness"},
    {"worker_exits_total", :counter, [:pool, :why], {:counter, :worker_exits},
     "worker processes that have ended"},
    {"worker_restarts_total", :counter, [:pool], {:counter, :worker_restarts},
     "workers that had to start again"},
    {"workers_recycled_total", :counter, [:pool], {:counter, :workers_recycled},
     "workers that have reached a limit"},
    {"health_checks_total", :counter, [:pool, :result], {:counter, :health_checks},
     "health checks of workers"},
    {"sessions", :gauge, [:pool], {:live, :sessions}, "sessions that live"},
    {"session_events_total", :counter, [:pool, :event], {:counter, :session_events},
     "sessions that were opened, lost, expired and deleted"},
    {"jobs", :gauge, [:jobs, :state], {:live, :jobs}, "jobs that are kept, by their state"},
    {"jobs_finished_total", :counter, [:jobs, :state], {:counter, :jobs_finished},
     "jobs that have ended"},
    {"job_duration_seconds", :histogram, [:jobs], {:histogram, :job_duration},
     "time of a job from its submission to its end"},
    {"log_dropped_total", :counter, [:source], {:counter, :log_dropped},
     "log lines that were too many"}
  ]

  @all for {name, type, labels, source, help} <- @metrics,
           do: %{
             name: "snakepit_" <> name,
             type: type,
             labels: labels,
             help: help,
             source: source
           }

  @spec all() :: [t()]
  def all, do: @all

  @doc """
  The metrics as a Markdown table.
  """
  @spec docs() :: String.t()
  def docs do
    rows =
      for metric <- @all do
        labels = Enum.map_join(metric.labels, ", ", &"`#{&1}`")
        "| `#{metric.name}` | #{metric.type} | #{labels} | #{metric.help} |\n"
      end

    "| name | type | labels | what |\n|---|---|---|---|\n#{rows}"
  end
end
