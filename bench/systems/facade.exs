defmodule Bench.Facade do
  @moduledoc false
  # Our whole path, as a user calls it: facade, pool, NIF, transport, values decoded. The figures
  # are the same as those of the other systems' clients.

  alias Bench.Clock

  @warm_up 200

  @doc """
  Answers what is asked by `:unary`, `:stream` or `:first`.
  """
  @spec measure(atom(), map(), pos_integer(), keyword()) :: map()
  def measure(mode, ask, count, opts \\ [])

  def measure(:unary, ask, count, opts) do
    args = %{data: :binary.copy(<<0xFF>>, ask.size)}
    call = fn -> {:ok, _result} = Snakepit.execute("bench_echo", args, opts) end
    {latencies, elapsed} = Clock.together(ask.callers, count, min(@warm_up, count), call)
    Clock.figures(latencies, elapsed)
  end

  def measure(:stream, %{size: size}, count, opts) do
    receive_all(@warm_up, 10, opts)
    elapsed = Clock.duration(fn -> receive_all(count, size, opts) end)
    %{"per_s" => count * 1.0e9 / elapsed, "mb_per_s" => count * size * 1.0e3 / elapsed}
  end

  def measure(:first, _ask, count, opts) do
    Clock.repeat(@warm_up, fn -> time_to_first(opts) end)

    {latencies, elapsed} =
      Clock.timed(fn -> Clock.repeat(count, fn -> time_to_first(opts) end) end)

    Clock.figures(latencies, elapsed)
  end

  @doc """
  How many calls `measure/4` makes for `count` unary ones, with those that warm up.
  """
  @spec calls(map(), pos_integer()) :: pos_integer()
  def calls(ask, count), do: count + min(@warm_up, count) * ask.callers

  defp receive_all(count, size, opts) do
    bytes = :counters.new(1, [])

    callback = fn
      %{"data" => data} -> :counters.add(bytes, 1, byte_size(data))
      %{"is_final" => true} -> :ok
    end

    :ok = Snakepit.execute_stream("bench_stream", %{count: count, size: size}, callback, opts)
    true = :counters.get(bytes, 1) == count * size
  end

  defp time_to_first(opts) do
    started = Clock.now()

    callback = fn
      %{"data" => _data} -> Process.put(:first_chunk, Clock.now() - started)
      %{"is_final" => true} -> :ok
    end

    :ok = Snakepit.execute_stream("bench_stream", %{count: 1, size: 10}, callback, opts)
    Process.delete(:first_chunk)
  end
end
