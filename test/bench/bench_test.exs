defmodule Snakepit.BenchTest do
  # That the benchmarks run and what they write. Their figures are for people to judge.
  use ExUnit.Case, async: false

  @moduletag :tmp_dir
  # The first time cargo builds what they measure beside Snakepit.
  @moduletag timeout: 600_000

  # Next to nothing is asked.
  defp bench(script, tmp_dir) do
    env = [{"MIX_ENV", "test"}, {"BENCH", "smoke"}, {"BENCH_RESULTS", tmp_dir}]
    args = ["run", "--no-compile", "bench/#{script}.exs"]
    {output, status} = System.cmd("mix", args, env: env, stderr_to_stdout: true)
    assert status == 0, output
    refute output =~ ~r/warning|error|Traceback/i, output
    output
  end

  defp results(name, tmp_dir),
    do: tmp_dir |> Path.join(name <> ".json") |> File.read!() |> JSON.decode!()

  test "every question is answered by everybody, and every target judged", %{tmp_dir: tmp_dir} do
    output = bench("run", tmp_dir)
    results = results("results", tmp_dir)

    assert %{"bench" => "smoke", "rounds" => 1, "machine" => machine} = results
    for name <- ~w(machine system load Elixir Python Rust), do: assert(machine[name] =~ ~r/\d/)

    assert Enum.map(results["questions"], & &1["key"]) ==
             ~w(others call callers chunks_10b chunks_1kb chunks_100kb chunks_1mb first) ++
               ~w(many_streams memory copied start idle lease)

    for question <- results["questions"] do
      assert output =~ question["title"]
      [first | rest] = question["rows"]
      for row <- question["rows"], do: assert_row(row, question)
      assert first["ratio"] == nil
      if question["ratio"], do: for(row <- rest, do: assert_summary(row["ratio"]))
    end

    assert length(results["targets"]) == 27

    for target <- results["targets"] do
      assert %{"question" => question, "of" => of, "limit" => limit, "ok" => ok} = target
      assert target["bound"] in ["at_most", "at_least"]
      assert is_boolean(ok) and is_number(limit)
      assert_summary(target["measured"])
      assert output =~ question and output =~ of
    end
  end

  test "so it is with the adapters", %{tmp_dir: tmp_dir} do
    bench("adapters", tmp_dir)

    for question <- results("adapters", tmp_dir)["questions"] do
      assert Enum.map(question["rows"], & &1["key"]) == ~w(native grpcio msgpack json)
      for row <- question["rows"], do: assert_row(row, question)
    end
  end

  # The first figure is the one that is compared; others need not mean something for everybody.
  defp assert_row(row, %{"figures" => [%{"key" => compared} | _]}) do
    assert is_binary(row["title"])
    assert Map.has_key?(row["figures"], compared), row["title"]
    for {_figure, summary} <- row["figures"], do: assert_summary(summary)
  end

  defp assert_summary(%{"median" => median, "min" => min, "max" => max, "rounds" => [round]}) do
    assert min <= median and median <= max
    assert round == median
  end
end
