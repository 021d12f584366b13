defmodule Snakepit.Request do
  @options [
    timeout: [
      type: :timeout,
      doc:
        "the deadline of the whole call, waiting for a worker included (30_000; streams: 300_000)"
    ],
    pool: [type: :atom, default: :default, doc: "which pool runs the call"],
    session_id: [type: :text, doc: "runs the call in this session, see `Snakepit.Session`"],
    queue_timeout: [type: :timeout, doc: "how long to wait for a worker slot (the pool's option)"],
    idempotent: [
      type: :boolean,
      default: false,
      doc:
        "calls, not streams: the call may run twice, so it is made again, up to three times, when " <>
          "the worker's process ends during it"
    ],
    metadata: [type: :metadata, default: %{}, doc: "what the handler sees as `ctx.metadata`"],
    request_id: [
      type: :string,
      doc: "what the handler sees as `ctx.request_id`; made up if not given"
    ],
    chunk_timeout: [
      type: :timeout,
      default: :infinity,
      doc: "streams: longest silence between two chunks"
    ],
    window: [
      type: :pos_integer,
      default: 256,
      doc: "streams: chunks that may be on their way before the callback has seen them"
    ],
    max_buffer: [
      type: :pos_integer,
      default: 4_194_304,
      doc: "streams: bytes that may be on their way before the callback has seen them"
    ]
  ]

  @moduledoc false

  import Bitwise, only: [<<<: 2]

  alias Snakepit.{Error, Schema}

  # What it is called with is to stand in no crash report.
  @derive {Inspect, except: [:args, :metadata]}
  @enforce_keys [:command, :args]
  defstruct [:command, :args, :started_at, :on_lease, :span] ++
              for({key, spec} <- @options, do: {key, spec[:default]})

  @type t :: %__MODULE__{
          command: String.t(),
          args: map(),
          started_at: integer(),
          on_lease: (t() -> t()) | nil,
          span: Snakepit.Pool.Streams.t() | nil,
          timeout: timeout() | nil,
          pool: atom(),
          session_id: String.t() | nil,
          queue_timeout: timeout() | nil,
          idempotent: boolean(),
          metadata: %{String.t() => String.t()},
          request_id: String.t(),
          chunk_timeout: timeout(),
          window: pos_integer(),
          max_buffer: pos_integer()
        }

  @type opts :: keyword() | timeout()

  @doc """
  The options of a call.
  """
  @spec schema() :: Schema.t()
  def schema, do: @options

  @doc """
  The call options as Markdown.
  """
  @spec docs() :: String.t()
  def docs, do: Schema.docs(@options)

  @doc """
  Checks what the caller gave. A wrong option is a mistake in the program and raises;
  wrong arguments are data and come back as an error. `timeout` is for whoever gives none.
  """
  @spec new(term(), term(), opts(), timeout() | nil) :: {:ok, t()} | {:error, Error.t()}
  def new(command, args, opts, timeout \\ nil)

  # Made at once: each change of it would be a copy, which every call leaves behind as garbage.
  def new(command, args, opts, timeout)
      when is_binary(command) and is_map(args) and not is_struct(args) do
    request = %__MODULE__{
      command: command,
      args: args,
      started_at: now(),
      timeout: timeout,
      request_id: new_id()
    }

    {:ok, put(opts, request)}
  end

  def new(command, _args, opts, _timeout) when not is_binary(command) do
    invalid("expected the command to be a string, got: #{inspect(command)}", nil, opts)
  end

  def new(command, args, opts, _timeout) do
    invalid("expected the arguments to be a map, got: #{inspect(args, limit: 5)}", command, opts)
  end

  # Unique in this VM and, by the time of its start, between VMs. In parts of a microsecond that fits
  # into a word, which is quicker to write down.
  defp new_id do
    id = System.unique_integer([:positive]) + (System.time_offset(:microsecond) <<< 6)
    Integer.to_string(id, 32)
  end

  @doc """
  The options with a session added.
  """
  @spec in_session(opts(), String.t()) :: keyword()
  def in_session(opts, session_id) when is_list(opts),
    do: Keyword.put(opts, :session_id, session_id)

  def in_session(timeout, session_id), do: [timeout: timeout, session_id: session_id]

  @doc """
  The milliseconds that are left of `timeout` since the request was made.
  """
  @spec remaining(t()) :: timeout()
  def remaining(%__MODULE__{timeout: :infinity}), do: :infinity

  def remaining(%__MODULE__{timeout: timeout, started_at: started_at}),
    do: max(started_at + timeout - now(), 0)

  @doc """
  Monotonic milliseconds at which the request is over.
  """
  @spec deadline(t()) :: integer() | :infinity
  def deadline(%__MODULE__{timeout: :infinity}), do: :infinity
  def deadline(%__MODULE__{timeout: timeout, started_at: started_at}), do: started_at + timeout

  @spec now() :: integer()
  def now, do: System.monotonic_time(:millisecond)

  defp put([], request), do: request

  defp put(opts, request) when is_list(opts) do
    Enum.reduce(opts, request, fn option, request ->
      {key, value} = Schema.check!(option, @options, "Snakepit call")
      Map.replace!(request, key, value)
    end)
  end

  defp put(timeout, request) when is_integer(timeout) or timeout == :infinity,
    do: put([timeout: timeout], request)

  defp put(other, _request) do
    raise ArgumentError,
          "Snakepit call: expected options, a timeout in milliseconds or :infinity, got #{inspect(other)}"
  end

  defp invalid(message, command, opts) do
    id = if Keyword.keyword?(opts), do: opts[:request_id]
    error = %Error{kind: :invalid_arguments, message: message, command: command, request_id: id}
    {:error, error}
  end
end
