defmodule Snakepit.Pool.Shared do
  @moduledoc false
  # What the callers of a pool share, found by its name without asking a process: the slots, and
  # the table with the connection of every worker.

  alias Snakepit.{Config, Worker}
  alias Snakepit.Pool.{Server, SessionTable, Slots, Streams, Succession}

  # What every call wants to know of the config stands beside it: a map of so many keys is a tree.
  @told_by_config [:name, :protocol, :commands, :recycle]
  @enforce_keys [:key, :generation, :server, :slots, :table, :streams, :sessions] ++
                  [:directory, :config] ++ @told_by_config
  defstruct @enforce_keys

  @typedoc "One process of a worker; 0 when it has none."
  @type incarnation :: non_neg_integer()

  @type t :: %__MODULE__{
          key: term(),
          generation: integer(),
          server: pid(),
          slots: Slots.t(),
          table: :ets.table(),
          streams: :ets.table(),
          sessions: SessionTable.t() | nil,
          directory: Path.t() | nil,
          config: Config.t(),
          name: atom(),
          protocol: :grpc | :json | :msgpack,
          commands: [String.t()] | :any,
          recycle: map() | false
        }

  @doc """
  Makes the shared state of a pool whose server is the calling process.
  """
  @spec new(Config.t(), SessionTable.t() | nil, Path.t() | nil) :: t()
  def new(%Config{} = config, sessions, directory) do
    table = :ets.new(__MODULE__, [:protected, read_concurrency: true])

    slots = Slots.new(seats(config), config.max_concurrent_streams)

    for index <- 0..(slots.size - 1) do
      state = if index < config.pool_size, do: :starting, else: :vacant
      Slots.put_state(slots, index, state)
      :ets.insert(table, {index, nil, blank_worker(config, index, state), 0})
    end

    %__MODULE__{
      key: key(config.name),
      generation: System.unique_integer(),
      server: self(),
      slots: slots,
      table: table,
      streams: Streams.table(),
      sessions: sessions,
      directory: directory,
      config: config,
      name: config.name,
      protocol: config.protocol,
      commands: config.commands,
      recycle: config.recycle
    }
  end

  @spec publish(t()) :: :ok
  def publish(%__MODULE__{key: key} = pool), do: :persistent_term.put(key, pool)

  @spec unpublish(t()) :: :ok
  def unpublish(%__MODULE__{key: key}) do
    :persistent_term.erase(key)
    :ok
  end

  @spec fetch(atom()) :: {:ok, t()} | {:error, :pool_not_found}
  def fetch(name) do
    case :persistent_term.get(key(name), nil) do
      %__MODULE__{} = pool -> {:ok, pool}
      nil -> {:error, :pool_not_found}
    end
  end

  @doc """
  The pools that run, in the order of their names.
  """
  @spec all() :: [t()]
  def all do
    for name <- Enum.sort(Succession.names(Server)), {:ok, pool} <- [fetch(name)], do: pool
  end

  @doc """
  The connection of a worker. `:pool_down` when the owner of the table has crashed and its
  successor is not here yet.
  """
  @spec channel(t(), Slots.worker()) :: {:ok, Worker.Channel.t()} | :down | :pool_down
  def channel(%__MODULE__{table: table}, worker) do
    case :ets.lookup_element(table, worker, 2) do
      nil -> :down
      channel -> {:ok, channel}
    end
  rescue
    ArgumentError -> :pool_down
  end

  @doc """
  Which process of the worker there is. Read after its connection, it is not older than that.
  """
  @spec incarnation(t(), Slots.worker()) :: incarnation()
  def incarnation(%__MODULE__{table: table}, worker) do
    :ets.lookup_element(table, worker, 4)
  rescue
    ArgumentError -> 0
  end

  @spec put_worker(t(), Slots.worker(), Worker.Channel.t() | nil, map(), incarnation()) :: :ok
  def put_worker(%__MODULE__{table: table} = pool, worker, channel, news, incarnation) do
    row = table |> :ets.lookup_element(worker, 3) |> Map.merge(news)
    write(pool, {worker, channel, row, incarnation})
  end

  @spec put_state(t(), Slots.worker(), Slots.state()) :: :ok
  def put_state(%__MODULE__{table: table}, worker, state) do
    row = :ets.lookup_element(table, worker, 3)
    true = :ets.update_element(table, worker, {3, %{row | state: state}})
    :ok
  end

  @spec worker(t(), Slots.worker()) :: map() | nil
  def worker(%__MODULE__{table: table}, worker) do
    :ets.lookup_element(table, worker, 3)
  rescue
    ArgumentError -> nil
  end

  @doc """
  What is known of every worker, in order.
  """
  @spec workers(t()) :: [{Slots.worker(), map()}]
  def workers(%__MODULE__{table: table}) do
    for {index, _channel, row, _incarnation} <- Enum.sort(:ets.tab2list(table)),
        row.state != :vacant,
        do: {index, row}
  rescue
    ArgumentError -> []
  end

  @spec worker_id(Config.t(), Slots.worker()) :: String.t()
  def worker_id(%Config{name: name}, index) do
    "#{name |> to_string() |> String.replace_prefix("Elixir.", "")}-#{index + 1}"
  end

  @doc """
  Forgets all about a worker.
  """
  @spec clear_worker(t(), Slots.worker()) :: :ok
  def clear_worker(%__MODULE__{config: config} = pool, worker),
    do: write(pool, {worker, nil, blank_worker(config, worker, :vacant), 0})

  # In this order: whoever sees the edition finds its connection.
  defp write(%__MODULE__{table: table, slots: slots}, {worker, _, _, _} = row) do
    true = :ets.insert(table, row)
    Slots.new_edition(slots, worker)
  end

  # A worker that is replaced and its successor are there at the same time.
  defp seats(%Config{recycle: false, pool_size: size}), do: size
  defp seats(%Config{pool_size: size}), do: 2 * size

  defp key(name), do: {Snakepit.Pool, name}

  defp blank_worker(config, index, state) do
    %{
      id: worker_id(config, index),
      pid: nil,
      os_pid: nil,
      state: state,
      capacity: config.max_concurrent_streams,
      started_at: nil,
      requests_before: 0,
      restarts: 0,
      transport: nil,
      address: nil
    }
  end
end
