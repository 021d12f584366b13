defmodule Snakepit.Telemetry.Events do
  @moduledoc false
  # Every event there is, for its emission and its documentation.

  @call "`pool`, `command`, `request_id`, `session_id`, `worker_id`"
  @stream @call <> ", `shape` (`:server`, `:client` or `:bidi`)"
  @worker "`pool`, `worker_id`"
  @started "`system_time`, `monotonic_time`"
  @counts "`duration`, `chunks`, `bytes`, `sent`, `first_chunk`, `stalls`, `stalled`"
  @result "`result` (`:ok` or `:error`), `reason`"
  @raised "`kind`, `reason`, `stacktrace`"

  @events [
    {[:execute, :start], "a call that gives one result is made", @started, @call},
    {[:execute, :stop], "it has returned", "`duration`", "#{@call}, #{@result}"},
    {[:execute, :exception], "it has raised, as an adapter's own code may", "`duration`",
     "#{@call}, #{@raised}"},
    {[:stream, :start], "a stream is asked for", @started, @stream},
    {[:stream, :stop], "it is over", @counts, "#{@stream}, #{@result}"},
    {[:stream, :exception], "the callback or the enumerable has raised", @counts,
     "#{@stream}, #{@raised}"},
    {[:stream, :stall], "the consumer has held the producer up, and does no longer", "`duration`",
     @stream},
    {[:queue, :wait], "a caller that had to wait for a slot waits no longer", "`duration`",
     "#{@call}, #{@result}"},
    {[:queue, :reject], "a caller got no slot, at once or after waiting", "`count`",
     "#{@call}, `reason`"},
    {[:cancel], "the handler of a cancelled call has ended; the time is from its cancellation on",
     "`duration`", "`pool`, `worker_id`, `command`, `request_id`, `why`, `how`"},
    {[:grpc, :request], "a call has been made on a worker that speaks gRPC, without its waiting",
     "`duration`", "`command`, `streaming`, `pool`, `worker_id`, `request_id`"},
    {[:job, :start], "a job was submitted", @started, "`jobs`, `job_id`, `command`"},
    {[:job, :stop], "a job has ended", "`duration`, `queue_time`, `run_time`",
     "`jobs`, `job_id`, `command`, `state`, `reason`"},
    {[:job, :exception], "a job crashed in Snakepit or in an adapter's code",
     "`duration`, `queue_time`, `run_time`", "`jobs`, `job_id`, `command`, #{@raised}"},
    {[:worker_start, :start], "the program of a worker is started", @started, @worker},
    {[:worker_start, :stop], "it is ready for calls", "`duration`", "#{@worker}, `os_pid`"},
    {[:worker_start, :exception], "it could not be started", "`duration`",
     "#{@worker}, #{@raised}"},
    {[:worker, :ready], "a worker takes calls, for the first time or again after a check",
     "`count`", "#{@worker}, `os_pid`, `transport`"},
    {[:worker, :exit], "the program of a worker has ended", "`uptime`",
     "#{@worker}, `os_pid`, `why` (`:stopped` or `:crashed`), `how`"},
    {[:worker, :restart], "a worker is to start again", "`delay`, `failures`", @worker},
    {[:worker, :recycle], "a worker has reached a limit and is to be replaced", "`count`",
     "#{@worker}, `why`"},
    {[:health, :check], "a health check was answered, or not", "`duration`, `rss_bytes`",
     "#{@worker}, #{@result}"},
    {[:session, :opened], "a session has begun", "`count`", "#{@worker}, `session_id`"},
    {[:session, :lost], "a session has ended with the process of its worker", "`count`",
     "#{@worker}, `session_id`"},
    {[:session, :expired], "a session was not used for `:session_ttl`", "`count`",
     "#{@worker}, `session_id`"},
    {[:session, :deleted], "a session was ended", "`count`", "#{@worker}, `session_id`"},
    {[:log, :dropped], "so many lines were too many for the log", "`count`",
     "`source` (`:client` or `:worker`), `worker_id`"}
  ]

  @names for {name, _when, _measurements, _metadata} <- @events, do: [:snakepit | name]

  @spec names() :: [Snakepit.Telemetry.event()]
  def names, do: @names

  @doc """
  The events as a Markdown table.
  """
  @spec docs() :: String.t()
  def docs do
    rows =
      for {name, when_, measurements, metadata} <- @events,
          do: "| `#{inspect([:snakepit | name])}` | #{when_} | #{measurements} | #{metadata} |\n"

    "| event | when | measurements | metadata |\n|---|---|---|---|\n#{rows}"
  end
end
