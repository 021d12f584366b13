defmodule Snakepit.Jobs.Results do
  @moduledoc false
  # The rows of one job, in a table of their own: written by the process that runs the job, read by
  # whoever pages through them, and never copied as a whole.

  @enforce_keys [:table, :counters]
  defstruct [:table, :counters]

  @type t :: %__MODULE__{table: :ets.table(), counters: :counters.counters_ref()}
  @type row :: term()

  @rows 1
  @bytes 2
  @weight 3
  @largest 4

  @doc """
  A table that belongs to the calling process.
  """
  @spec new() :: t()
  def new do
    table = :ets.new(__MODULE__, [:set, :public, read_concurrency: true])
    %__MODULE__{table: table, counters: :counters.new(4, [])}
  end

  @doc """
  Adds one row. There is one writer.
  """
  @spec append(t(), row()) :: :ok
  def append(%__MODULE__{table: table, counters: counters}, row) do
    bytes = :erlang.external_size(row)
    weight = max(bytes, heap_size(row))
    before = :counters.get(counters, @weight)
    index = :counters.get(counters, @rows)
    true = :ets.insert(table, {index, row, before})
    if weight > :counters.get(counters, @largest), do: :counters.put(counters, @largest, weight)
    :counters.put(counters, @weight, before + weight)
    :counters.add(counters, @bytes, bytes)
    # Last: who sees the number finds the row.
    :counters.put(counters, @rows, index + 1)
  end

  @spec count(t()) :: non_neg_integer()
  def count(%__MODULE__{counters: counters}), do: :counters.get(counters, @rows)

  @doc """
  How large all rows are, in the external term format.
  """
  @spec bytes(t()) :: non_neg_integer()
  def bytes(%__MODULE__{counters: counters}), do: :counters.get(counters, @bytes)

  @doc """
  Rows `from` to `to`, the latter not included.
  """
  @spec slice(t(), non_neg_integer(), non_neg_integer()) :: [row()]
  def slice(%__MODULE__{table: table}, from, to),
    do: for(index <- from..(to - 1)//1, do: :ets.lookup_element(table, index, 2))

  @doc """
  Where a chunk ends that begins at row `from`: after `size` rows, or before its rows take more than
  `max_bytes`, but it has one row at least. `:open` when the rows there are do not fill it.
  """
  @spec chunk_end(t(), non_neg_integer(), pos_integer(), pos_integer()) ::
          {:full | :open, non_neg_integer()}
  def chunk_end(%__MODULE__{} = results, from, size, max_bytes) do
    count = count(results)
    last = min(from + size, count)
    limit = offset(results, from) + max_bytes

    cond do
      from >= count -> {:open, count}
      offset(results, last) > limit -> {:full, cut(results, from + 1, last, limit)}
      last == from + size -> {:full, last}
      true -> {:open, last}
    end
  end

  @doc """
  How many chunks all rows make.
  """
  @spec chunks(t(), pos_integer(), pos_integer()) :: non_neg_integer()
  def chunks(%__MODULE__{counters: counters} = results, size, max_bytes) do
    count = count(results)

    if :counters.get(counters, @largest) * min(size, count) <= max_bytes,
      do: div(count + size - 1, size),
      else: chunks(results, size, max_bytes, 0, 0, count)
  end

  defp chunks(_results, _size, _max_bytes, from, chunks, count) when from >= count, do: chunks

  defp chunks(results, size, max_bytes, from, chunks, count) do
    {_full, to} = chunk_end(results, from, size, max_bytes)
    chunks(results, size, max_bytes, to, chunks + 1, count)
  end

  # The largest end in `low..high` whose rows stay within the limit; `low` in any case.
  defp cut(_results, low, high, _limit) when high - low <= 1, do: low

  defp cut(results, low, high, limit) do
    middle = div(low + high, 2)

    if offset(results, middle) <= limit,
      do: cut(results, middle, high, limit),
      else: cut(results, low, middle, limit)
  end

  @doc """
  How much the rows before this one weigh: their bytes, or more if it is more in the heap.
  """
  @spec offset(t(), non_neg_integer()) :: non_neg_integer()
  def offset(%__MODULE__{table: table} = results, index) do
    # A row may be added between the two.
    weight = weight(results)
    :ets.lookup_element(table, index, 3, weight)
  end

  @doc """
  Are there so many rows, or do they weigh more than that?
  """
  @spec reached?(t(), non_neg_integer(), non_neg_integer()) :: boolean()
  def reached?(%__MODULE__{} = results, rows, weight),
    do: count(results) >= rows or weight(results) > weight

  defp weight(%{counters: counters}), do: :counters.get(counters, @weight)

  # Numbers take four times in the heap what they do in a message; a large binary is not in it.
  defp heap_size(row), do: :erts_debug.flat_size(row) * :erlang.system_info(:wordsize)

  # More of them are freed elsewhere: millions take seconds, for which nobody should wait.
  @few 10_000

  @spec delete(t()) :: :ok
  def delete(%__MODULE__{table: table} = results) do
    if count(results) <= @few, do: free(table), else: spawn(fn -> free(table) end)
    :ok
  end

  defp free(table) do
    :ets.delete(table)
  rescue
    # Gone with its owner.
    ArgumentError -> true
  end
end
