# Eight years of real share prices as one array: Python gives it, Elixir makes daily returns of it, and
# Python says how closely the shares follow each other. Not one of the numbers is packed by itself. Run
# it with
#
#     scripts/setup && .venv/bin/pip install numpy && scripts/fetch-example-data bokeh_sampledata
#     mix run examples/correlate_prices.exs

defmodule Returns do
  @moduledoc """
  Works on arrays as they come, without a library. With Nx it would be a line of tensors:
  `data |> Nx.from_binary(:f64) |> Nx.reshape(shape)`.
  """

  def run(symbols) do
    {:ok, %{"prices" => prices} = found} = Snakepit.execute("price_matrix", %{symbols: symbols})
    {:array, {days, columns}, :f64, data} = prices

    IO.puts(
      "#{days} days, #{found["first_day"]} to #{found["last_day"]}, #{byte_size(data)} bytes"
    )

    returns = {:array, {days - 1, columns}, :f64, daily(data, columns)}
    {:ok, result} = Snakepit.execute("correlate", %{returns: returns})
    {:array, {^columns, ^columns}, :f64, correlation} = result["correlation"]
    {:array, {^columns}, :f64, volatility} = result["volatility"]

    rows = correlation |> numbers() |> Enum.chunk_every(columns)
    IO.puts(["\n      ", Enum.map(symbols, &String.pad_leading(&1, 6)), "   a year"])

    for {symbol, row, varies} <- Enum.zip([symbols, rows, numbers(volatility)]),
        do: IO.puts([String.pad_trailing(symbol, 6), Enum.map(row, &cell/1), percent(varies)])
  end

  # The logarithm of each price over that of the day before, which is a row earlier.
  defp daily(data, columns) do
    row = 8 * columns
    earlier = binary_part(data, 0, byte_size(data) - row)
    later = binary_part(data, row, byte_size(data) - row)

    for {after_, before} <- Enum.zip(numbers(later), numbers(earlier)),
        into: <<>>,
        do: <<:math.log(after_ / before)::float-little>>
  end

  defp numbers(data), do: for(<<number::float-little <- data>>, do: number)
  defp cell(number), do: number |> :erlang.float_to_binary(decimals: 2) |> String.pad_leading(6)
  defp percent(number), do: String.pad_leading("±#{round(100 * number)} %", 9)
end

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 1, python: [modules: ["snakepit_bridge.examples.matrices"]]}],
    strategy: :one_for_one
  )

Returns.run(["AAPL", "GOOG", "IBM", "MSFT"])
