# Real share prices, replayed day by day and analysed in Python as they come: indicators, alerts and
# signals, in the manner of a market's feed. Run it with
#
#     scripts/setup && scripts/fetch-example-data bokeh_sampledata
#     mix run examples/realtime_stock_analysis.exs

defmodule Market do
  @moduledoc """
  Shows the days on which a share becomes one to buy or to sell, or has an unusual volume.
  """

  # Half a year of trading in a second.
  @days_per_second 126

  def run(symbols) do
    :ok =
      Snakepit.execute_stream(
        "realtime_stock_analysis",
        %{
          symbols: symbols,
          indicators: ["RSI", "MACD", "SMA_20", "SMA_50"],
          alert_thresholds: %{rsi_oversold: 30, rsi_overbought: 70, volume_spike: 2.0},
          days_per_second: @days_per_second,
          since: "2012-06-01",
          until: "2013-03-01"
        },
        &show/1
      )
  end

  defp show(%{"is_final" => true} = final) do
    IO.puts("\nMarket session ended: #{final["days"]} days, #{final["quotes"]} quotes.")
    for {signal, count} <- final["signals"], do: IO.puts("  #{pad(signal, 5)} #{count}")
    IO.puts("There are no prices of #{Enum.join(final["unknown_symbols"], ", ")}.")
  end

  defp show(%{"symbol" => symbol, "trading_signal" => signal} = chunk) do
    spike = "volume_spike" in chunk["alerts"]
    news = Process.put(symbol, signal) != signal and signal != "HOLD"
    if news or spike, do: IO.puts(line(chunk, spike))
  end

  defp line(chunk, spike) do
    Enum.join(
      [
        chunk["timestamp"],
        pad(chunk["symbol"], 5),
        pad("$#{decimals(chunk["price"], 2)}", 8),
        pad(chunk["trading_signal"], 4),
        pad("RSI #{decimals(chunk["rsi"], 1)}", 8),
        pad("MACD #{decimals(chunk["macd"], 2)}", 11),
        pad("SMA #{decimals(chunk["sma_20"], 2)} / #{decimals(chunk["sma_50"], 2)}", 19),
        if(spike, do: "volume #{div(chunk["volume"], 1_000_000)} million", else: "")
      ],
      "  "
    )
    |> String.trim_trailing()
  end

  defp decimals(nil, _), do: "-"
  defp decimals(number, places), do: :erlang.float_to_binary(number / 1, decimals: places)
  defp pad(text, width), do: String.pad_trailing(text, width)
end

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 1, python: [modules: ["snakepit_bridge.examples.stocks"]]}],
    strategy: :one_for_one
  )

Market.run(["AAPL", "GOOGL", "MSFT", "TSLA"])
