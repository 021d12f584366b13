defmodule Snakepit.Log do
  @options [
    client: [
      type: {:in, [:off, :error, :warning, :info, :debug, :trace]},
      default: :warning,
      doc: "what Snakepit itself says of connections and calls, from this level on"
    ],
    worker: [
      type: {:in, [:off, :error, :warning, :info, :debug, :trace]},
      doc:
        "what workers log, from this level on; not set, handlers may set the level in Python, " <>
          "and until they do it is `:info`"
    ],
    arguments: [
      type: :boolean,
      default: false,
      doc: "whether the arguments of calls may stand in the log, cut"
    ]
  ]

  @moduledoc """
  What is logged, and how to have more or less of it.

  Everything comes as an event of Elixir's `Logger`, with the metadata `:worker_id` and, where it
  concerns a call, `:request_id` and `:command`; what is logged in Python has `:logger` too.

      config :snakepit, log: [client: :warning, worker: :info]

  #{Snakepit.Schema.docs(@options)}

  `put_level/2` changes a level while all runs:

      iex> Snakepit.Log.put_level(:client, :debug)
      :ok
      iex> Snakepit.Log.level(:client)
      :debug
      iex> Snakepit.Log.put_level(:client, :warning)
      :ok

  From `:info` on `:client` has a line for each call that fails, from `:debug` on for every call, with how
  long it took and how it ended. Elixir's Logger has a level of its own, below which it shows
  nothing; `:trace` is `:debug` there.

  What a call was made with stands nowhere in the log, and neither does what Python says of an error,
  which may repeat it. With `arguments: true` the lines of calls have the arguments, cut. What handlers
  log and print is theirs.

  The level `:worker` becomes that of Python's root logger, in all workers of all pools that run and
  in those that start later. A logger that has been given a level of its own in Python keeps
  it, but what it says below `:worker` is not passed on. Workers in JavaScript obey it too;
  those of other adapters are not asked.

  Nothing of this can hold up a call or fill the memory. What the native client says waits in a
  bounded queue, and is dropped when that is full; of what one worker says, about a thousand lines a
  second are logged. Lines that are dropped are counted, and a warning tells how many.
  """

  alias Snakepit.{GRPC, Schema, Worker}
  alias Snakepit.Pool.Succession

  @levels [:off, :error, :warning, :info, :debug, :trace]

  @type source :: :client | :worker
  @type level :: :off | :error | :warning | :info | :debug | :trace

  @doc """
  Sets from which level on the native client or the workers log, at once.
  """
  @spec put_level(source(), level()) :: :ok
  def put_level(source, level) when source in [:client, :worker] and level in @levels do
    put(%{settings() | source => level})
    if source == :client, do: set_client(level), else: tell_workers(level)
  end

  @doc """
  The level of a source; `nil` for workers whose level is left to Python.
  """
  @spec level(source()) :: level() | nil
  def level(source) when source in [:client, :worker], do: Map.fetch!(settings(), source)

  @doc false
  @spec schema() :: Schema.t()
  def schema, do: @options

  @doc false
  # Whether Snakepit itself logs at that level.
  @spec tells?(:info | :debug) :: boolean()
  def tells?(:info), do: settings().client in [:info, :debug, :trace]
  def tells?(:debug), do: settings().client in [:debug, :trace]

  @doc false
  @spec arguments?() :: boolean()
  def arguments?, do: settings().arguments

  @doc false
  # As the application environment has it. Raises `ArgumentError` for what makes no sense.
  @spec configure!() :: :ok
  def configure! do
    where = "config :snakepit, log:"
    given = Schema.options!(Application.get_env(:snakepit, :log, []), where)
    put(Schema.validate!(given, @options, where))
  end

  @doc false
  # What was set holds for a library that was not loaded yet.
  @spec apply_to_client() :: :ok
  def apply_to_client do
    %{client: level} = settings()
    :ok = set_client(level)
    # Somebody may have set another one in between, and it must not be undone.
    if settings().client == level, do: :ok, else: apply_to_client()
  end

  defp settings, do: :persistent_term.get(__MODULE__, defaults())
  defp put(settings), do: :persistent_term.put(__MODULE__, settings)

  defp defaults, do: %{client: :warning, worker: nil, arguments: false}

  defp set_client(level) do
    with :ok <- GRPC.Native.loaded(), do: GRPC.Native.log_level(to_string(level))
    :ok
  end

  # One that starts meanwhile has seen the new level.
  defp tell_workers(level) do
    for id <- Succession.names(Worker.Server),
        pid = Succession.holder({Worker.Server, id}),
        do: send(pid, {:log_level, level})

    :ok
  end
end
