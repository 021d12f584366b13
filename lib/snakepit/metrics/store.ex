defmodule Snakepit.Metrics.Store do
  @moduledoc false
  # Where metrics are counted: two tables, written by whoever has something to count. In the
  # first, rows are counters, and commands that have a label of their own:
  #
  #   {{name, labels}, number}
  #   {{:command, pool, command}, nil}
  #
  # In the second they are histograms:
  #
  #   {{name, labels}, counters}   the sum in nanoseconds, then one number for each bucket, then one
  #                                for each outcome a call can have
  #
  # They are made once and found for every call, so they are persistent terms too: what is read from a
  # table is copied, and the copies of counters are counted where all callers write.
  #
  # Labels are the values of the metric's labels, in order. What a user names, a command, is among
  # them only so many times.

  use GenServer

  alias Snakepit.Error

  @bounds_us [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000] ++
               [500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000] ++
               [300_000_000]
  @outcomes [:ok, :raised, :caller_down, :other] ++ Error.conditions() ++ Error.kinds()
  @buckets length(@bounds_us) + 1
  @size 1 + @buckets + length(@outcomes)

  @histograms Module.concat(__MODULE__, Histograms)
  @most_commands 200
  @rest "(other)"
  @unknown "(unknown)"

  @type labels :: tuple()
  @type histogram :: %{
          sum: non_neg_integer(),
          buckets: [non_neg_integer()],
          outcomes: [{atom(), pos_integer()}]
        }

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(_options) do
    options = [:named_table, :public, read_concurrency: true]
    :ets.new(@histograms, options)
    # Of a process of this name that has ended.
    for {{@histograms, _key} = term, _counters} <- :persistent_term.get(),
        do: :persistent_term.erase(term)

    {:ok, :ets.new(__MODULE__, [{:write_concurrency, :auto} | options])}
  end

  @spec count(atom(), labels(), integer()) :: :ok
  def count(name, labels, n \\ 1) do
    key = {name, labels}
    :ets.update_counter(__MODULE__, key, n, {key, 0})
    :ok
  rescue
    # Here and below: without the application nothing is counted.
    ArgumentError -> :ok
  end

  @doc """
  Adds a duration in nanoseconds to a histogram.
  """
  @spec observe(atom(), labels(), integer(), atom() | nil) :: :ok
  def observe(name, labels, ns, outcome \\ nil) do
    {name, labels} |> counters() |> add(ns, outcome)
  rescue
    ArgumentError -> :ok
  end

  @doc """
  The same for a command of a pool, whose label it may not have.
  """
  @spec observe_command(atom(), atom(), String.t(), integer(), atom()) :: :ok
  def observe_command(name, pool, command, ns, outcome) do
    # Most often it has been there before.
    case :persistent_term.get({@histograms, {name, {pool, command}}}, nil) do
      nil -> observe(name, {pool, command_label(pool, command, outcome)}, ns, outcome)
      counters -> add(counters, ns, outcome)
    end
  rescue
    ArgumentError -> :ok
  end

  defp add(counters, ns, outcome) do
    :counters.add(counters, 1, ns)
    :counters.add(counters, 2 + bucket(ns), 1)
    if outcome, do: :counters.add(counters, 2 + @buckets + number(outcome), 1)
    :ok
  end

  defp counters(key) do
    with nil <- :persistent_term.get({@histograms, key}, nil) do
      # Who comes second uses what is there.
      :ets.insert_new(@histograms, {key, :counters.new(@size, [:write_concurrency])})
      counters = :ets.lookup_element(@histograms, key, 2)
      :persistent_term.put({@histograms, key}, counters)
      counters
    end
  end

  @doc """
  What a command is called in a label. One that does not exist, or is one too many, shares its
  name with others.
  """
  @spec command_label(atom(), String.t(), atom() | nil) :: String.t()
  def command_label(pool, command, outcome \\ nil)
  def command_label(_pool, _command, :unknown_command), do: @unknown

  def command_label(pool, command, _outcome) do
    if :ets.member(__MODULE__, {:command, pool, command}), do: command, else: admit(pool, command)
  rescue
    ArgumentError -> command
  end

  # Callers of different commands may come at once and take one place more each.
  defp admit(pool, command) do
    key = {:commands, {pool}}

    if :ets.lookup_element(__MODULE__, key, 2, 0) >= @most_commands do
      @rest
    else
      if :ets.insert_new(__MODULE__, {{:command, pool, command}, nil}),
        do: count(:commands, {pool})

      command
    end
  end

  # -- reading

  @doc """
  The counter of this name: labels and numbers.
  """
  @spec counter(atom()) :: [{labels(), integer()}]
  def counter(name) do
    for {labels, number} <- rows(__MODULE__, name), do: {labels, number}
  end

  @doc """
  The histogram of this name: labels, the sum in nanoseconds, the number in each bucket and
  of each outcome.
  """
  @spec histogram(atom()) :: [{labels(), histogram()}]
  def histogram(name) do
    for {labels, counters} <- rows(@histograms, name) do
      numbers = for index <- 1..@size, do: :counters.get(counters, index)
      [sum | numbers] = numbers
      {buckets, outcomes} = Enum.split(numbers, @buckets)
      counted = for {outcome, n} when n > 0 <- Enum.zip(@outcomes, outcomes), do: {outcome, n}
      {labels, %{sum: sum, buckets: buckets, outcomes: counted}}
    end
  end

  @doc """
  The upper bounds of the buckets in seconds. One more bucket has none.
  """
  @spec bounds() :: [float()]
  def bounds, do: for(us <- @bounds_us, do: us / 1_000_000)

  defp rows(table, name) do
    table |> :ets.select([{{{name, :"$1"}, :"$2"}, [], [{{:"$1", :"$2"}}]}]) |> Enum.sort()
  rescue
    ArgumentError -> []
  end

  for {us, index} <- Enum.with_index(@bounds_us) do
    defp bucket(ns) when ns <= unquote(us * 1_000), do: unquote(index)
  end

  defp bucket(_longer), do: unquote(length(@bounds_us))

  for {outcome, index} <- Enum.with_index(@outcomes) do
    defp number(unquote(outcome)), do: unquote(index)
  end

  defp number(_other), do: unquote(Enum.find_index(@outcomes, &(&1 == :other)))
end
