defmodule Snakepit.Applications.RealtimeStockAnalysisTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO
  import Snakepit.Test.PoolHelper
  import Snakepit.Test.StreamHelper, only: [await_free: 1]

  alias Snakepit.Test.Indicators

  setup do
    %{pool: start_pool(python: [path: [], modules: ["snakepit_bridge.examples.stocks"]])}
  end

  # The adjusted prices as they stand in the package, read without Python.
  defp prices(symbol) do
    [path] =
      Path.wildcard(".venv/lib/python*/site-packages/bokeh_sampledata/_data/stocks.csv.gz")

    rows = path |> File.read!() |> :zlib.gunzip() |> String.split("\n", trim: true)

    for row <- rows,
        [^symbol, date, _, _, _, _, _, price] <- [String.split(row, ",")],
        do: {date, price |> Float.parse() |> elem(0)}
  end

  test "the indicators of 3,270 days are those of their definitions", %{pool: pool} do
    args = %{symbols: ["AAPL"]}
    opts = [pool: pool]
    chunks = "realtime_stock_analysis" |> Snakepit.stream!(args, opts) |> Enum.drop(-1)
    {dates, prices} = "AAPL" |> prices() |> Enum.unzip()
    assert length(prices) == 3_270
    assert Enum.map(chunks, & &1["timestamp"]) == dates

    for {name, expected} <- [
          {"price", prices},
          {"sma_20", Indicators.sma(prices, 20)},
          {"sma_50", Indicators.sma(prices, 50)},
          {"rsi", Indicators.rsi(prices)},
          {"macd", Indicators.macd(prices)}
        ],
        {chunk, value} <- Enum.zip(chunks, expected) do
      if value, do: assert_in_delta(chunk[name], value, 0.5001e-4), else: assert(!chunk[name])
    end

    for %{"rsi" => rsi} = chunk when is_float(rsi) <- chunks do
      signal = if rsi < 30, do: "BUY", else: if(rsi > 70, do: "SELL", else: "HOLD")
      assert chunk["trading_signal"] == signal
      assert chunk["signal"] == signal
    end
  end

  test "the callback of the user's guide shows a signal for each quote", %{pool: pool} do
    output =
      capture_io(fn ->
        assert :ok =
                 Snakepit.execute_stream(
                   "realtime_stock_analysis",
                   %{
                     symbols: ["AAPL", "GOOGL", "MSFT", "TSLA"],
                     indicators: ["RSI", "MACD", "SMA_20", "SMA_50"],
                     alert_thresholds: %{
                       rsi_oversold: 30,
                       rsi_overbought: 70,
                       volume_spike: 2.0
                     }
                   },
                   fn chunk ->
                     if chunk["is_final"] do
                       IO.puts("📊 Market session ended")
                     else
                       symbol = chunk["symbol"]
                       price = chunk["price"]
                       _volume = chunk["volume"]
                       rsi = chunk["rsi"]
                       signal = chunk["trading_signal"]

                       case signal do
                         "BUY" -> IO.puts("🟢 #{symbol}: $#{price} - BUY signal (RSI: #{rsi})")
                         "SELL" -> IO.puts("🔴 #{symbol}: $#{price} - SELL signal (RSI: #{rsi})")
                         _ -> IO.puts("⚪ #{symbol}: $#{price} - HOLD (RSI: #{rsi})")
                       end
                     end
                   end,
                   pool: pool
                 )
      end)

    lines = String.split(output, "\n", trim: true)
    assert length(lines) == 3_270 + 2_148 + 3_270 + 1
    assert List.last(lines) == "📊 Market session ended"

    for {symbol, count} <- [{"AAPL", 3_270}, {"GOOGL", 2_148}, {"MSFT", 3_270}],
        do: assert(Enum.count(lines, &(&1 =~ " #{symbol}: $")) == count)

    assert Enum.any?(lines, &(&1 =~ ~r/^🟢 .* BUY signal \(RSI: [12]?\d\.\d+\)$/))
    assert Enum.any?(lines, &(&1 =~ ~r/^🔴 .* SELL signal \(RSI: [789]\d\.\d+\)$/))
  end

  test "at a chosen speed the days come in their time, and :halt ends them", %{pool: pool} do
    args = %{symbols: ["IBM", "MSFT"], days_per_second: 100}
    counter = :counters.new(1, [])
    started = System.monotonic_time(:millisecond)

    callback = fn _chunk ->
      :counters.add(counter, 1, 1)
      if :counters.get(counter, 1) == 42, do: :halt
    end

    assert :ok = Snakepit.execute_stream("realtime_stock_analysis", args, callback, pool: pool)
    # The 42nd quote is of the 21st day, 20 days after the first.
    assert System.monotonic_time(:millisecond) - started >= 200
    await_free(pool)
  end

  test "symbols and thresholds that are not there are named", %{pool: pool} do
    for {args, name} <- [
          {%{symbols: ["TSLA"]}, "there are prices of AAPL, FB, GOOG, IBM, MSFT"},
          {%{symbols: ["AAPL"], alert_thresholds: %{rsi: 3}}, "'rsi' is none of rsi_oversold"},
          {%{symbols: ["AAPL"], indicators: ["EMA"]}, "there is no indicator 'EMA'"}
        ] do
      assert {:error, %Snakepit.Error{kind: :invalid_arguments, message: message}} =
               Snakepit.execute_stream("realtime_stock_analysis", args, & &1, pool: pool)

      assert message =~ name
    end
  end

  test "the example shows signals, and ends by itself" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/realtime_stock_analysis.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ ~r/^2012-10-22  MSFT   \$24.32    BUY   RSI 27.0 /m
    assert output =~ "Market session ended: 187 days, 561 quotes."
    assert output =~ "There are no prices of TSLA."
  end
end
