defmodule Snakepit.Applications.CorrelatePricesTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Error

  setup do
    %{pool: start_pool(python: [path: [], modules: ["snakepit_bridge.examples.matrices"]])}
  end

  # As they stand in the package, read without Python: the price of each day.
  defp prices(symbol) do
    [path] =
      Path.wildcard(".venv/lib/python*/site-packages/bokeh_sampledata/_data/stocks.csv.gz")

    rows = path |> File.read!() |> :zlib.gunzip() |> String.split("\n", trim: true)

    for row <- rows,
        [^symbol, date, _, _, _, _, _, price] <- [String.split(row, ",")],
        into: %{},
        do: {date, price |> Float.parse() |> elem(0)}
  end

  defp numbers(data), do: for(<<number::float-little <- data>>, do: number)

  test "the matrix has the prices of the days that all have", %{pool: pool} do
    {ibm, google} = {prices("IBM"), prices("GOOG")}
    days = Enum.sort(for {date, _price} <- google, is_map_key(ibm, date), do: date)

    assert {:ok, %{"prices" => {:array, {2_148, 2}, :f64, data}} = found} =
             Snakepit.execute("price_matrix", %{symbols: ["IBM", "GOOG"]}, pool: pool)

    assert numbers(data) == Enum.flat_map(days, &[ibm[&1], google[&1]])
    assert %{"first_day" => first, "last_day" => last} = found
    assert {first, last} == {hd(days), List.last(days)}
  end

  test "correlation and variation are those of their definitions", %{pool: pool} do
    columns = [[0.5, -0.25, 1.0, 0.125], [1.0, 0.5, 1.5, -2.0]]

    data =
      for row <- Enum.zip(columns), x <- Tuple.to_list(row), into: <<>>, do: <<x::float-little>>

    assert {:ok, %{"correlation" => {:array, {2, 2}, :f64, correlation}} = result} =
             Snakepit.execute("correlate", %{returns: {:array, {4, 2}, :f64, data}}, pool: pool)

    [a, b] = for column <- columns, do: Enum.map(column, &(&1 - Enum.sum(column) / 4))
    product = fn x, y -> Enum.sum(Enum.zip_with(x, y, &*/2)) end
    expected = product.(a, b) / :math.sqrt(product.(a, a) * product.(b, b))

    for {found, expected} <- Enum.zip(numbers(correlation), [1.0, expected, expected, 1.0]),
        do: assert_in_delta(found, expected, 1.0e-12)

    assert {:array, {2}, :f64, volatility} = result["volatility"]

    for {found, column} <- Enum.zip(numbers(volatility), [a, b]),
        do: assert_in_delta(found, :math.sqrt(product.(column, column) / 3 * 252), 1.0e-12)
  end

  test "what there are no prices of is named", %{pool: pool} do
    for {command, args, text} <- [
          {"price_matrix", %{symbols: ["TSLA"]}, "there are prices of AAPL, FB, GOOG, IBM, MSFT"},
          {"price_matrix", %{symbols: ["FB"], until: "2001-01-01"}, "there is no day on which"},
          {"correlate", %{returns: {:array, {1}, :u8, <<1>>}}, "must be a matrix of two rows"}
        ] do
      assert {:error, %Error{kind: :invalid_arguments, message: message}} =
               Snakepit.execute(command, args, pool: pool)

      assert message =~ text
    end
  end

  test "the example shows a table, and ends by itself" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/correlate_prices.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ "2148 days, 2004-08-19 to 2013-03-01, 68736 bytes"
    assert output =~ ~r/^AAPL    1.00( +-?\d\.\d\d){3} +±\d+ %$/m
  end
end
