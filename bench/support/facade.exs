defmodule Bench.Facade do
  @moduledoc false
  # Our whole path, as a user calls it: facade, pool, NIF, transport, values decoded. The figures
  # are the same as those of the other systems' clients.

  @warm_up 200

  def measure(question, opts \\ [])

  def measure(%{mode: :unary} = question, opts) do
    args = %{data: :binary.copy(<<0xFF>>, question.size)}
    call = fn -> {:ok, _result} = Snakepit.execute("bench_echo", args, opts) end

    {latencies, elapsed} =
      together(question.callers, fn -> repeat(@warm_up, call) end, fn ->
        repeat(div(question.fast, question.callers), fn -> duration(call) end)
      end)

    latency_figures(latencies, elapsed)
  end

  def measure(%{mode: :stream, size: size, fast: count}, opts) do
    receive_all(@warm_up, 10, opts)
    elapsed = duration(fn -> receive_all(count, size, opts) end)
    %{"per_s" => count * 1.0e9 / elapsed, "mb_per_s" => count * size * 1.0e3 / elapsed}
  end

  def measure(%{mode: :first, fast: count}, opts) do
    repeat(@warm_up, fn -> time_to_first(opts) end)
    started = now()
    latencies = repeat(count, fn -> time_to_first(opts) end)
    latency_figures(latencies, now() - started)
  end

  defp receive_all(count, size, opts) do
    bytes = :counters.new(1, [])

    callback = fn
      %{"data" => data} -> :counters.add(bytes, 1, byte_size(data))
      %{"is_final" => true} -> :ok
    end

    :ok =
      Snakepit.execute_stream("bench_stream", %{count: count, size: size}, callback, opts)

    true = :counters.get(bytes, 1) == count * size
  end

  defp time_to_first(opts) do
    started = now()

    callback = fn
      %{"data" => _data} -> Process.put(:first_chunk, now() - started)
      %{"is_final" => true} -> :ok
    end

    :ok = Snakepit.execute_stream("bench_stream", %{count: 1, size: 10}, callback, opts)
    Process.delete(:first_chunk)
  end

  # Every caller is a process of its own. The clock starts when all have warmed up.
  defp together(callers, warm_up, work) do
    tasks =
      for _ <- 1..callers do
        parent = self()

        Task.async(fn ->
          warm_up.()
          send(parent, {:warm, self()})

          receive do
            :go -> work.()
          end
        end)
      end

    for %Task{pid: pid} <- tasks do
      receive do
        {:warm, ^pid} -> :ok
      end
    end

    started = now()
    for %Task{pid: pid} <- tasks, do: send(pid, :go)
    latencies = tasks |> Task.await_many(:infinity) |> Enum.concat()
    {latencies, now() - started}
  end

  defp repeat(count, fun), do: for(_ <- 1..count, do: fun.())

  defp duration(fun) do
    started = now()
    fun.()
    now() - started
  end

  defp latency_figures(latencies, elapsed) do
    sorted = latencies |> Enum.sort() |> List.to_tuple()
    count = tuple_size(sorted)
    at = fn share -> elem(sorted, div(count * share, 100)) / 1.0e3 end
    %{"p50_us" => at.(50), "p99_us" => at.(99), "per_s" => count * 1.0e9 / elapsed}
  end

  defp now, do: System.monotonic_time(:nanosecond)
end
