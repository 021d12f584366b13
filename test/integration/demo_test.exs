defmodule Snakepit.Integration.DemoTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Flights
  import Snakepit.Test.PoolHelper

  @moduletag timeout: 120_000

  setup do
    pool =
      start_pool(
        python: [
          path: [],
          modules: ["snakepit_bridge.examples.flights", "snakepit_bridge.examples.datasets"]
        ]
      )

    {:ok, %{"result" => path}} =
      Snakepit.execute("flights_csv", %{directory: Path.expand("_build/demo")}, pool: pool)

    %{pool: pool, path: path, expected: by_carrier(path)}
  end

  test "the streamed figures of every carrier are those of an independent count", context do
    %{pool: pool, path: path, expected: expected} = context
    args = %{file_path: path, group_by: "carrier", columns: ["arr_delay"], chunk_size: 20_000}
    chunks = "process_large_dataset" |> Snakepit.stream!(args, pool: pool) |> Enum.to_list()

    assert {progress, [%{"is_final" => true, "final_stats" => stats}]} = Enum.split(chunks, -1)

    assert Enum.map(progress, & &1["processed_rows"]) ==
             Enum.to_list(20_000..320_000//20_000) ++ [336_776]

    assert List.last(progress)["progress_percent"] == 100.0
    assert stats["processed"] == 336_776
    assert map_size(stats["groups"]) == 16

    for {carrier, {flights, delays, sum}} <- expected do
      assert %{"rows" => ^flights, "columns" => %{"arr_delay" => delay}} =
               stats["groups"][carrier]

      assert delay["count"] == delays
      assert delay["missing"] == flights - delays
      assert_in_delta delay["mean"], sum / delays, 1.0e-9
    end
  end

  test "the demo prints plain lines and the same table without a terminal", %{expected: expected} do
    {output, 0} = System.cmd("mix", ["run", "examples/demo.exs"], stderr_to_stdout: true)

    assert output =~ "5 + 3 = 8"
    # A rate is told from half a second on, and it may take less.
    assert output =~ ~r"^100%  336,776/336,776 rows  ([\d,]+/s  )?0:\d\d$"m
    refute output =~ "\r"
    assert output =~ ~s(arrives as "ZeroDivisionError": division by zero)

    for {carrier, {flights, delays, sum}} <- expected do
      mean = :erlang.float_to_binary(sum / delays, decimals: 2)
      [row] = Regex.run(~r/^#{carrier} .*$/m, output)
      assert [^carrier, count, _departure, "min", ^mean, "min"] = String.split(row)
      assert String.replace(count, ",", "") == Integer.to_string(flights)
    end
  end
end
