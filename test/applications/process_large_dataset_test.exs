defmodule Snakepit.Applications.ProcessLargeDatasetTest do
  # A real table, the same several times over, and its quarters at once; with the code of the first
  # documents as it stands there.
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO
  import Snakepit.Test.Await, only: [await_free: 1]
  import Snakepit.Test.Flights
  import Snakepit.Test.OsProcess, only: [tmp_dir: 0]
  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPCWorker

  @moduletag timeout: 180_000
  @rows 336_776

  setup_all do
    modules = ["snakepit_bridge.examples.flights", "snakepit_bridge.examples.datasets"]
    pool = start_pool(python: [path: [], modules: modules])
    {:ok, %{"result" => path}} = call(pool, "flights_csv", Path.expand("_build/examples"))
    [%{pid: worker}] = Snakepit.list_workers(pool)
    %{pool: pool, worker: worker, path: path}
  end

  defp call(pool, command, directory, more \\ %{}) do
    args = Map.merge(%{directory: directory}, more)
    Snakepit.execute(command, args, pool: pool, timeout: 120_000)
  end

  # The chunks before the final one, and that one.
  defp process(context, path, args \\ %{}) do
    args = Map.merge(%{file_path: path, group_by: "carrier", columns: ["arr_delay"]}, args)
    chunks = Snakepit.stream!("process_large_dataset", args, pool: context.pool)
    {progress, [final]} = chunks |> Enum.to_list() |> Enum.split(-1)
    {progress, final}
  end

  test "a table that is several times larger takes no more memory", context do
    directory = tmp_dir()
    {:ok, %{"result" => large}} = call(context.pool, "flights_repeated", directory, %{times: 4})

    {progress, final} = process(context, context.path)
    {large_progress, large_final} = process(context, large)
    assert most(large_progress) - most(progress) < 8

    assert %{"processing_complete" => true, "final_stats" => stats} = final
    large_stats = large_final["final_stats"]
    assert %{"processed" => @rows, "skipped" => 0, "errors" => 0} = stats
    assert large_stats["processed"] == 4 * @rows

    expected = by_carrier(context.path)
    assert Enum.sort(Map.keys(stats["groups"])) == Enum.sort(Map.keys(expected))

    for {carrier, {flights, delays, sum}} <- expected,
        {stats, times} <- [{stats, 1}, {large_stats, 4}] do
      group = stats["groups"][carrier]
      assert group["rows"] == flights * times
      assert group["columns"]["arr_delay"]["count"] == delays * times
      assert_in_delta group["columns"]["arr_delay"]["mean"], sum / delays, 1.0e-9
    end
  end

  defp most(progress), do: progress |> Enum.map(& &1["memory_usage_mb"]) |> Enum.max()

  test "the callback of the user's guide", context do
    output =
      capture_io(fn ->
        assert :ok =
                 Snakepit.execute_stream(
                   "process_large_dataset",
                   %{
                     file_path: context.path,
                     chunk_size: 100_000,
                     operations: ["clean", "transform", "aggregate"]
                   },
                   fn chunk ->
                     if chunk["is_final"] do
                       stats = chunk["final_stats"]
                       IO.puts("✅ Processing complete!")
                       IO.puts("📊 Final stats: #{inspect(stats)}")
                     else
                       progress = chunk["progress_percent"]
                       processed = chunk["processed_rows"]
                       total = chunk["total_rows"]
                       memory_mb = chunk["memory_usage_mb"]

                       IO.puts(
                         "📊 Progress: #{progress}% (#{processed}/#{total} rows) - Memory: #{memory_mb}MB"
                       )
                     end
                   end,
                   pool: context.pool
                 )
      end)

    assert ["📊 Progress: 29.7% (100000/336776 rows) - Memory: " <> _, _, _, last | final] =
             String.split(output, "\n")

    assert last =~ ~r"^📊 Progress: 100.0% \(336776/336776 rows\) - Memory: \d+\.\dMB$"u
    assert ["✅ Processing complete!", "📊 Final stats: %{" <> stats, ""] = final
    assert stats =~ ~s("processed" => 336776)
  end

  test "the callback of the streaming examples, on a worker and with a text for a number",
       context do
    output =
      capture_io(fn ->
        assert :ok =
                 GRPCWorker.execute_stream(
                   context.worker,
                   "process_large_dataset",
                   %{file_path: context.path, chunk_size: "100000"},
                   fn chunk ->
                     if chunk["is_final"] do
                       IO.puts("🎉 Processing complete!")
                       IO.puts("Final stats: #{inspect(chunk["final_stats"])}")
                     else
                       progress = chunk["progress_percent"]

                       IO.puts(
                         "📊 Progress: #{progress}% (#{chunk["processed_rows"]}/#{chunk["total_rows"]} rows)"
                       )
                     end
                   end
                 )
      end)

    assert output =~ "📊 Progress: 59.4% (200000/336776 rows)\n"
    assert output =~ ~r/🎉 Processing complete!\nFinal stats: %{.*}\n\z/u
  end

  test "four files at the same time, as tasks on one worker", context do
    {:ok, %{"result" => datasets}} = call(context.pool, "flights_by_quarter", tmp_dir())
    worker = context.worker
    test = self()
    handle_progress = fn chunk -> send(test, {:progress, self(), chunk}) end

    tasks =
      Enum.map(datasets, fn dataset ->
        Task.async(fn ->
          GRPCWorker.execute_stream(
            worker,
            "process_large_dataset",
            %{file_path: dataset},
            handle_progress
          )
        end)
      end)

    assert Task.await_many(tasks, 60_000) == [:ok, :ok, :ok, :ok]

    seen = received()
    finals = for {pid, %{"is_final" => true} = chunk} <- seen, do: {pid, chunk["final_stats"]}
    assert Enum.sum_by(finals, fn {_pid, stats} -> stats["processed"] end) == @rows

    assert Enum.sort(for {pid, _} <- finals, do: pid) ==
             Enum.sort(for task <- tasks, do: task.pid)

    # They did not go one after the other: the first chunk of each is there before the last final one.
    [{_pid, %{"is_final" => true}} | before] = Enum.reverse(seen)
    assert before |> Enum.uniq_by(&elem(&1, 0)) |> length() == 4
  end

  defp received do
    receive do
      {:progress, pid, chunk} -> [{pid, chunk} | received()]
    after
      0 -> []
    end
  end

  test "who halts ends the work at once", context do
    args = %{file_path: context.path, chunk_size: 10}
    callback = fn chunk -> if chunk["processed_rows"] == 100, do: :halt end
    opts = [pool: context.pool]
    assert :ok = Snakepit.execute_stream("process_large_dataset", args, callback, opts)
    await_free(context.pool)
  end

  test "the example checks its figures, and tells the worker's memory" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/process_large_dataset.exs", "3"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ "The delays of 16 carriers are those that were counted here.\n"
    assert [_, small] = Regex.run(~r/ 31 MB, +336776 rows: the worker took (\d+) MB/, output)
    assert [_, large] = Regex.run(~r/ 93 MB, +1010328 rows: the worker took (\d+) MB/, output)
    assert String.to_integer(large) - String.to_integer(small) < 8
    assert output =~ ~r"^flights_q3.csv  100%  86,326/86,326 rows  "m
    assert output =~ "336776 rows in all"
    refute File.exists?("_build/examples/flights_x3.csv")
  end
end
