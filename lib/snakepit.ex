defmodule Snakepit do
  @moduledoc """
  Calls Python from Elixir, and streams from it, as if it were a local function.

      iex> Snakepit.execute("compute", %{operation: "add", a: 5, b: 3})
      {:ok, %{"result" => 8}}

      iex> Snakepit.execute_stream("ping_stream", %{count: 5}, fn chunk ->
      ...>   if chunk["index"] == 3, do: :halt
      ...> end)
      :ok

  A command is a Python function with `@command` or `@stream`, run by one of the worker
  processes of a pool (`Snakepit.Pool`). A pool comes from the application environment
  (`Snakepit.Config`) or from your own supervision tree.

  ## Options

  Every call takes a keyword list, or a timeout in milliseconds, or `:infinity`:

  #{Snakepit.Request.docs()}

  An unknown option raises `ArgumentError`.

  ## Values

  | Elixir | Python | and back |
  |---|---|---|
  | `nil`, `true`, `false` | `None`, `True`, `False` | the same |
  | an integer of any size | `int` | the same |
  | a float | `float` | the same; NaN and infinities are `:nan`, `:infinity`, `:neg_infinity` |
  | a binary that is valid UTF-8 | `str` | a binary |
  | any other binary, `Snakepit.binary/1` | `bytes` | a binary |
  | any other atom | `str` | a binary |
  | a list, a tuple | `list` | a list |
  | a map | `dict` | a map; keys that are atoms come back as binaries |
  | `Date`, `Time`, `NaiveDateTime`, `DateTime` | ISO 8601 `str` | a binary |

  Anything else is an error of kind `:encoding` that names the path, such as
  `args.model.layers[3]`. A handler that returns something other than a dict gives
  `%{"result" => value}`.

  ## Chunks

  A chunk of a stream is a map with string keys, always with `"is_final"`. Exactly one chunk, the
  last, is final. If Python raises in the middle, the chunks until then arrive, then
  `%{"error" => message, "is_final" => true}`, and the call returns the error.

  ## Errors

  `{:error, reason}` has either an atom such as `:worker_timeout` or a `Snakepit.Error`; that
  module lists them and makes a sentence of each.
  """

  alias Snakepit.{Binary, Error, GRPC, Pool, Request}

  @type command :: String.t()
  @type args :: map()
  @type chunk :: %{String.t() => term()}
  @typedoc "The options above, or a timeout in milliseconds."
  @type opts :: keyword() | timeout()

  @doc """
  Runs a command and returns what the handler returned.

      iex> Snakepit.execute("ping")
      {:ok, %{"message" => "pong", "status" => "ok"}}

      iex> {:error, error} =
      ...>   Snakepit.execute("compute", %{operation: "divide", a: 5, b: 0}, timeout: 5_000)
      iex> {error.kind, error.python_type, error.message}
      {:python, "ZeroDivisionError", "division by zero"}
  """
  @spec execute(command(), args(), opts()) :: {:ok, map()} | {:error, Error.reason()}
  def execute(command, args \\ %{}, opts \\ []), do: Pool.execute(command, args, opts)

  @doc """
  Runs a streaming command and calls `callback` with every chunk, in this process.

  The next chunks are produced while the callback runs, but no more than `:window` of them: a slow
  callback slows Python down. If the callback returns `:halt`, Python is cancelled and
  the result is `:ok`; any other value goes on. If it raises, Python is cancelled first.

      iex> Snakepit.execute_stream("ping_stream", %{count: 2}, &send(self(), {:seen, &1["index"]}))
      :ok
      iex> for n <- 1..2, do: receive(do: ({:seen, ^n} -> n))
      [1, 2]
  """
  @spec execute_stream(command(), args(), (chunk() -> term()), opts()) ::
          :ok | {:error, Error.reason()}
  def execute_stream(command, args \\ %{}, callback, opts \\ []),
    do: Pool.execute_stream(command, args, callback, opts)

  @doc """
  Runs a command in a session, which begins with its first call. Calls with the same session see the
  same `ctx.session`; `Snakepit.Session` says more.

      iex> Snakepit.execute_in_session("user-1", "load_model", %{name: "small"})
      {:ok, %{"loaded" => "small"}}
      iex> Snakepit.execute_in_session("user-1", "predict", %{text: "hello"})
      {:ok, %{"label" => "short", "model" => "small"}}
  """
  @spec execute_in_session(String.t(), command(), args(), opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute_in_session(session_id, command, args \\ %{}, opts \\ []),
    do: Pool.execute(command, args, Request.in_session(opts, session_id))

  @doc """
  Runs a streaming command in a session. See `execute_stream/4`.

      iex> Snakepit.execute_in_session_stream("user-1", "ping_stream", %{count: 3}, fn _chunk -> :halt end)
      :ok
  """
  @spec execute_in_session_stream(String.t(), command(), args(), (chunk() -> term()), opts()) ::
          :ok | {:error, Error.reason()}
  def execute_in_session_stream(session_id, command, args \\ %{}, callback, opts \\ []),
    do: Pool.execute_stream(command, args, callback, Request.in_session(opts, session_id))

  @doc """
  Runs a command that consumes chunks: every element of `enumerable`, a map, is one. The handler, a
  Python function with `@client_stream`, returns one result.

      iex> Snakepit.execute_client_stream("total", %{}, Stream.map(1..3, &%{n: &1}))
      {:ok, %{"sum" => 6}}

  The enumerable is read in this process, and only as fast as Python consumes: no more than
  `:window` elements ahead. If the handler returns before the end, the rest is not read. If the
  enumerable raises, the handler gets `InputFailed` and the exception goes on to the caller. The
  deadline ends the handler, but an enumerable that waits for its next element is not interrupted.
  """
  @spec execute_client_stream(command(), args(), Enumerable.t(), opts()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute_client_stream(command, args, enumerable, opts \\ []),
    do: Pool.execute_client_stream(command, args, enumerable, opts)

  @doc """
  Runs a command with chunks in both directions: the elements of `enumerable` go to the handler, a
  Python generator function with `@bidi_stream`, and `callback` is called with every chunk it yields.

      iex> payments = [%{id: 1, amount: 20}, %{id: 2, amount: 5_000}]
      iex> Snakepit.execute_bidi_stream("score", %{limit: 1_000}, payments, fn chunk ->
      ...>   if chunk["suspicious"], do: send(self(), {:look_at, chunk["id"]})
      ...> end)
      :ok
      iex> receive do
      ...>   {:look_at, id} -> id
      ...> end
      2

  The directions are independent. The callback runs in this process, as in `execute_stream/4`; the
  enumerable is read in a process of its own, linked to this one, as it may wait for what
  the callback does.
  """
  @spec execute_bidi_stream(command(), args(), Enumerable.t(), (chunk() -> term()), opts()) ::
          :ok | {:error, Error.reason()}
  def execute_bidi_stream(command, args, enumerable, callback, opts \\ []),
    do: Pool.execute_bidi_stream(command, args, enumerable, callback, opts)

  @doc """
  A streaming command as a lazy enumerable of chunks.

      iex> "ping_stream" |> Snakepit.stream!(%{count: 3}) |> Enum.map(& &1["message"])
      ["ping 1", "ping 2", "ping 3"]

  The command runs when the enumerable is consumed, and is cancelled when it is not consumed to
  the end. Raises `Snakepit.Error` when the call fails.
  """
  @spec stream!(command(), args(), opts()) :: Enumerable.t()
  def stream!(command, args \\ %{}, opts \\ []), do: GRPC.LazyStream.new(command, args, opts)

  @doc """
  Starts a streaming command whose chunks arrive as messages to this process:

      iex> {:ok, %Snakepit.Stream{ref: ref} = stream} =
      ...>   Snakepit.start_stream("ping_stream", %{count: 1})
      iex> next = fn ->
      ...>   receive do
      ...>     {:snakepit, ^ref, {:chunk, chunk}} ->
      ...>       :ok = Snakepit.ack(stream)
      ...>       chunk["message"]
      ...>
      ...>     {:snakepit, ^ref, :done} ->
      ...>       :done
      ...>
      ...>     {:snakepit, ^ref, {:error, reason}} ->
      ...>       {:error, reason}
      ...>   end
      ...> end
      iex> {next.(), next.()}
      {"ping 1", :done}

  Python runs ahead by `:window` chunks; more come when `ack/2` has confirmed some. The last message
  is `:done` or an error, never both. Keep the struct until then: the stream ends with it, and
  with this process.

  A worker of another kind may not speak MessagePack. Its values come as they are, for
  `Snakepit.GRPC.Client.decode_result/1`.
  """
  @spec start_stream(command(), args(), opts()) ::
          {:ok, Snakepit.Stream.t()} | {:error, Error.reason()}
  def start_stream(command, args \\ %{}, opts \\ []), do: Pool.start_stream(command, args, opts)

  @doc """
  Confirms that `count` chunks of a stream from `start_stream/3` were dealt with.
  """
  @spec ack(Snakepit.Stream.t(), pos_integer()) :: :ok
  def ack(%Snakepit.Stream{handle: handle, span: span}, count \\ 1)
      when is_integer(count) and count > 0,
      do: GRPC.StreamCall.acknowledge(handle, count, span)

  @doc """
  Ends a stream from `start_stream/3`. No message of it arrives afterwards, and none is left in the
  mailbox of this process.

      iex> {:ok, stream} = Snakepit.start_stream("ping_stream", %{count: 1_000_000})
      iex> Snakepit.cancel(stream)
      :ok
  """
  @spec cancel(Snakepit.Stream.t()) :: :ok
  def cancel(%Snakepit.Stream{} = stream), do: GRPC.StreamCall.cancel_each(stream)

  @doc """
  The workers of a pool: maps with `:id`, `:pid`, `:os_pid`, `:state`, `:in_flight`, `:capacity`,
  `:started_at`, `:requests`, `:restarts`, `:transport` and `:address`.

      iex> [%{id: "default-1", state: :ready, capacity: 10}] = Snakepit.list_workers()
      iex> Snakepit.list_workers(:no_such_pool)
      {:error, :pool_not_found}
  """
  @spec list_workers(atom()) :: [map()] | {:error, :pool_not_found}
  def list_workers(pool \\ :default) do
    with {:ok, pool} <- Pool.Shared.fetch(pool), do: Pool.Stats.workers(pool)
  end

  @doc """
  Numbers about a pool: `:workers`, `:ready`, `:busy_slots`, `:free_slots`, `:queued`, `:requests`,
  `:errors`, `:timeouts`, `:queue_timeouts`, `:rejected`, `:restarts` and `:sessions`.

      iex> %{workers: 1, ready: 1, queued: 0} = Snakepit.get_stats()
      iex> Snakepit.get_stats(:no_such_pool)
      {:error, :pool_not_found}
  """
  @spec get_stats(atom()) :: map() | {:error, :pool_not_found}
  def get_stats(pool \\ :default) do
    with {:ok, pool} <- Pool.Shared.fetch(pool), do: Pool.Stats.pool(pool)
  end

  @doc """
  Waits until every worker of a pool is ready.

      iex> Snakepit.await_ready()
      :ok
  """
  @spec await_ready(atom(), timeout()) :: :ok | {:error, Error.reason()}
  def await_ready(pool \\ :default, timeout \\ 30_000) do
    with {:ok, pool} <- Pool.fetch_or_start(pool),
         do: Pool.Server.await_ready(pool.server, timeout)
  end

  @doc """
  Marks a binary to arrive in Python as `bytes`, also when it is valid UTF-8.

      iex> Snakepit.binary("abc")
      %Snakepit.Binary{data: "abc"}
      iex> Snakepit.execute("echo", %{data: Snakepit.binary("abc")})
      {:ok, %{"data" => "abc"}}
  """
  @spec binary(binary()) :: Binary.t()
  def binary(data) when is_binary(data), do: %Binary{data: data}
end
