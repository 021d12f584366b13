defmodule Snakepit.Jobs.Options do
  @moduledoc false
  # What `Snakepit.Jobs` and its functions take.

  alias Snakepit.Schema

  @max_chunk_size 4_294_967_295

  @name [type: :atom, default: Snakepit.Jobs, doc: "which `Snakepit.Jobs` keeps the job"]

  @service [
    name: [
      type: :atom,
      default: Snakepit.Jobs,
      doc: "the name that functions take as `:jobs`"
    ],
    max_concurrent_jobs: [
      type: :pos_integer,
      default: 100,
      doc: "jobs that hold a worker slot, or wait for one, at a time"
    ],
    max_queued_jobs: [
      type: :non_neg_integer,
      default: 100_000,
      doc: "jobs that wait for their turn; one more gets `:too_many_jobs`"
    ],
    job_timeout: [
      type: :timeout,
      default: 3_600_000,
      doc: "how long a job without `:timeout` may run"
    ],
    max_result_bytes: [
      type: :pos_integer,
      default: 1_073_741_824,
      doc: "what the results of one job may take; one that has more fails with `:too_large`"
    ],
    retain_count: [type: :non_neg_integer, default: 1_000, doc: "finished jobs that are kept"],
    retain_bytes: [
      type: :non_neg_integer,
      default: 1_073_741_824,
      doc: "bytes of results of finished jobs that are kept; the last one is, whatever it takes"
    ],
    retain_ms: [
      type: :timeout,
      default: 3_600_000,
      doc: "how long a finished job is kept"
    ],
    shutdown_timeout: [
      type: :milliseconds,
      default: 5_000,
      doc: "how long running jobs may finish at shutdown"
    ]
  ]

  @submit [
    jobs: @name,
    pool: [type: :atom, default: :default, doc: "which pool runs the job"],
    timeout: [type: :timeout, doc: "how long the job may run (`:job_timeout`)"],
    session_id: [type: :text, doc: "runs the job in this session"],
    metadata: [type: :metadata, default: %{}, doc: "what the handler sees as `ctx.metadata`"],
    idempotent: [
      type: :boolean,
      default: false,
      doc:
        "the command may run twice: a job that loses its worker runs once more, apart from others that " <>
          "did; not streams that gave rows"
    ],
    stream: [
      type: {:in, [true, false, :auto]},
      default: :auto,
      doc: "whether the command is a stream; `:auto` finds out"
    ]
  ]

  @result [
    jobs: @name,
    timeout: [
      type: :timeout,
      default: 30_000,
      doc: "how long to wait for the end of the job; then `:worker_timeout`"
    ]
  ]

  @watch [
    jobs: @name,
    since_seq: [
      type: :non_neg_integer,
      default: 0,
      doc: "only updates after this one"
    ]
  ]

  @pages [
    jobs: @name,
    chunk_size: [
      type: :non_neg_integer,
      default: 1_000,
      doc: "rows of a chunk, at most #{@max_chunk_size}; 0 and nil mean the default"
    ],
    max_chunk_bytes: [
      type: :pos_integer,
      default: 3_145_728,
      doc:
        "bytes of rows in a chunk, in memory or in the external term format, whichever is more, " <>
          "however many rows that is; one row may be more"
    ],
    cursor: [type: :text, doc: "goes on after the chunk that had this cursor"],
    follow: [
      type: :boolean,
      default: true,
      doc: "waits for the rows of a job that still runs; otherwise ends with those there are"
    ]
  ]

  @batch [
    jobs: @name,
    pool: @submit[:pool],
    timeout: [type: :timeout, doc: "how long an item may run that says nothing itself"],
    metadata: @submit[:metadata],
    idempotent: @submit[:idempotent],
    max_concurrency: [
      type: :pos_integer,
      doc: "items on their way at a time (`:max_concurrent_jobs`)"
    ],
    ordered: [
      type: :boolean,
      default: false,
      doc: "gives the last result of each item in the order of the items"
    ],
    on_duplicate: [
      type: {:in, [:refuse, :replay]},
      default: :refuse,
      doc:
        "what an item gets whose `:client_request_id` another one had: an error, or the result of that one"
    ],
    remember: [
      type: :non_neg_integer,
      default: 10_000,
      doc: "how many finished ids are remembered for that"
    ],
    remember_bytes: [
      type: :non_neg_integer,
      default: 16_777_216,
      doc:
        "bytes of those ids, and with `:replay` of their results; the oldest are forgotten first"
    ],
    detach: [
      type: :boolean,
      default: false,
      doc: "lets items go on, as jobs of their own, when the consumer is gone"
    ]
  ]

  @item [
    command: [type: :text],
    args: [type: :map, default: %{}],
    client_request_id: [type: :text],
    timeout: [type: :timeout],
    session_id: [type: :text],
    idempotent: [type: :boolean]
  ]

  @schemas %{
    service: {@service, "Snakepit.Jobs"},
    submit: {@submit, "Snakepit.Jobs.submit/3"},
    result: {@result, "Snakepit.Jobs.result/2"},
    watch: {@watch, "Snakepit.Jobs.watch/3"},
    pages: {@pages, "Snakepit.Jobs.stream_results/3"},
    batch: {@batch, "Snakepit.Jobs.submit_batch/3"},
    item: {@item, "batch item"},
    named: {[jobs: @name], "Snakepit.Jobs"},
    list: {
      [
        jobs: @name,
        state: [
          type: {:in, ~w(queued running completed failed canceled expired)},
          doc: "only jobs in this state"
        ]
      ],
      "Snakepit.Jobs.list/1"
    }
  }

  @type kind :: :service | :submit | :result | :watch | :pages | :batch | :item | :named | :list

  @doc """
  The options as a map, defaults filled in. Raises `ArgumentError`.
  """
  @spec validate!(kind(), term()) :: map()
  def validate!(:pages, options) do
    options = normalize(options, :pages)

    options =
      if options[:chunk_size] in [nil, 0], do: Keyword.delete(options, :chunk_size), else: options

    pages = check(:pages, options)

    if pages.chunk_size > @max_chunk_size do
      raise ArgumentError,
            "Snakepit.Jobs.stream_results/3: option :chunk_size expected at most " <>
              "#{@max_chunk_size}, got #{pages.chunk_size}"
    end

    pages
  end

  def validate!(kind, options), do: check(kind, normalize(options, kind))

  @doc """
  The options of the service, or of one of the functions.
  """
  @spec schema(kind()) :: Schema.t()
  def schema(kind), do: @schemas |> Map.fetch!(kind) |> elem(0)

  @doc """
  The options as Markdown.
  """
  @spec docs(kind()) :: String.t()
  def docs(kind), do: kind |> schema() |> Schema.docs()

  defp normalize(options, kind),
    do: Schema.options!(options, @schemas |> Map.fetch!(kind) |> elem(1))

  defp check(kind, options) do
    {schema, where} = Map.fetch!(@schemas, kind)
    Schema.validate!(options, schema, where)
  end
end
