defmodule Snakepit.Config.Options do
  @moduledoc false
  # The options of a pool, described once for their validation, defaults and documentation.

  @python [
    executable: [type: :string, doc: "the interpreter"],
    path: [
      type: {:list, :directory},
      default: [],
      doc: "where to import from; `{:my_app, \"priv/python\"}` is there in a release too"
    ],
    modules: [
      type: {:list, :string},
      default: [],
      doc: "modules with handlers, imported at start"
    ],
    env: [type: :env, default: %{}, doc: "environment variables"],
    threads: [
      type: :pos_integer,
      doc: "threads a numeric library (OpenMP, OpenBLAS, MKL, ...) uses; all cores if not given"
    ],
    args: [type: {:list, :string}, default: [], doc: "more arguments for the worker script"]
  ]

  @javascript [
    executable: [type: :string, doc: "Node.js"],
    path: [
      type: {:list, :directory},
      default: [],
      doc: "where to look for modules; `{:my_app, \"priv/js\"}` is there in a release too"
    ],
    modules: [
      type: {:list, :string},
      default: [],
      doc: "modules with handlers, imported at start: files, or installed packages"
    ],
    env: [type: :env, default: %{}, doc: "environment variables"],
    args: [type: {:list, :string}, default: [], doc: "more arguments for the worker script"]
  ]

  @health [
    interval: [type: :milliseconds, default: 5_000, doc: "time between two checks"],
    timeout: [type: :milliseconds, default: 2_000, doc: "time for one answer"],
    max_misses: [type: :pos_integer, default: 3, doc: "unanswered checks before replacement"]
  ]

  @recycle [
    max_age: [type: :milliseconds, doc: "how long a worker lives"],
    max_requests: [type: :pos_integer, doc: "calls and streams a worker serves"],
    max_rss_mb: [
      type: :pos_integer,
      doc: "resident memory of a worker in MiB, looked at with every health check"
    ],
    jitter: [
      type: :fraction,
      default: 0.1,
      doc: "how far below its limit a worker may be replaced, different for each"
    ]
  ]

  @schema [
    name: [type: :atom, default: :default, doc: "the name calls use as `:pool`"],
    adapter: [
      type: :module,
      default: Snakepit.Adapters.GRPCPython,
      doc: "a `Snakepit.Adapter`: which program a worker runs"
    ],
    adapters: [
      type: {:list, :module},
      default: [],
      doc: "instead of `:adapter`: the first of these whose workers start"
    ],
    fallback_adapter: [
      type: :module,
      doc: "who serves `Snakepit.AdapterFallback.execute_with_fallback/3` when no worker can"
    ],
    transport: [
      type: {:in, [:native, :grpcio]},
      default: :native,
      doc: "which server a Python worker with gRPC runs; `:grpcio` is the portable one"
    ],
    pool_size: [
      type: :pos_integer,
      default: {:mfa, {System, :schedulers_online, []}},
      doc: "worker processes"
    ],
    max_concurrent_streams: [
      type: :pos_integer,
      default: 10,
      doc: "calls and streams one worker runs at once"
    ],
    queue_limit: [
      type: :non_neg_integer,
      default: 1_000,
      doc: "callers that may wait for a slot; one more gets `:pool_saturated`"
    ],
    queue_timeout: [type: :timeout, default: 10_000, doc: "how long a caller waits for a slot"],
    worker_init_timeout: [
      type: :milliseconds,
      default: 30_000,
      doc: "time for the whole pool to become ready"
    ],
    server_startup_timeout: [
      type: :milliseconds,
      default: 10_000,
      doc: "time for one worker from its start to readiness"
    ],
    connection_timeout: [type: :milliseconds, default: 10_000, doc: "time to connect to a worker"],
    stream_timeout: [
      type: :timeout,
      default: 300_000,
      doc: "deadline of streams without `:timeout`"
    ],
    shutdown_timeout: [
      type: :milliseconds,
      default: 5_000,
      doc: "how long running calls may finish at shutdown"
    ],
    cancel_grace_ms: [
      type: :milliseconds,
      default: 2_000,
      doc: "how long a cancelled handler may go on before its worker is replaced"
    ],
    max_message_size: [
      type: :pos_integer,
      default: 268_435_456,
      doc: "bytes of one message, in either direction"
    ],
    base_port: [
      type: :port,
      doc:
        "when set, workers listen on TCP at 127.0.0.1 from this port on; unix sockets otherwise"
    ],
    port_range: [type: :pos_integer, default: 100, doc: "how many ports from `:base_port` on"],
    python: [type: {:keyword, @python}, default: [], doc: "how Python is started, see below"],
    javascript: [
      type: {:keyword, @javascript},
      default: [],
      doc: "the same for `Snakepit.Adapters.GRPCJavaScript`, see below"
    ],
    health: [type: {:keyword, @health}, default: [], doc: "how workers are watched"],
    recycle: [
      type: {:or, [{:in, [false]}, {:keyword, @recycle}]},
      default: false,
      doc: "when workers are replaced by fresh ones, see below"
    ],
    session_affinity: [
      type: {:in, [:hint, :strict_queue, :strict_fail_fast]},
      default: :strict_queue,
      doc: "what a call does when the worker of its session is busy, see `Snakepit.Session`"
    ],
    session_ttl: [
      type: :milliseconds,
      default: 3_600_000,
      doc: "how long an unused session lives"
    ],
    max_sessions: [
      type: :pos_integer,
      default: 10_000,
      doc: "sessions that live at a time; a call that would begin one more gets `:pool_saturated`"
    ]
  ]

  @doc """
  The options of a pool.
  """
  @spec pool() :: Snakepit.Schema.t()
  def pool, do: @schema

  @doc """
  Those of an option that has some itself.
  """
  @spec nested(atom()) :: Snakepit.Schema.t()
  def nested(:python), do: @python
  def nested(:javascript), do: @javascript
  def nested(:health), do: @health
  def nested(:recycle), do: @recycle
end
