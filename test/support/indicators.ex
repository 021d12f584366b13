defmodule Snakepit.Test.Indicators do
  @moduledoc """
  Technical indicators of whole series of prices, by their definitions, to check others by.
  """

  @doc """
  The mean of each value and those before it, `count` in all.
  """
  def sma(prices, count) do
    means = for window <- Enum.chunk_every(prices, count, 1, :discard), do: mean(window)
    List.duplicate(nil, count - 1) ++ means
  end

  @doc """
  Wilder's index over 14 changes.
  """
  def rsi(prices) do
    {first, later} = prices |> changes() |> Enum.split(14)
    start = {mean(gains(first)), mean(losses(first))}

    averages =
      Enum.scan([start | later], fn change, {gain, loss} ->
        {(gain * 13 + max(change, 0)) / 14, (loss * 13 + max(-change, 0)) / 14}
      end)

    List.duplicate(nil, 14) ++
      for({gain, loss} <- averages, do: 100 - 100 / (1 + gain / loss))
  end

  @doc """
  MACD of 12 and 26 values; nil before there are 26.
  """
  def macd(prices) do
    [ema(prices, 12), ema(prices, 26)]
    |> Enum.zip_with(fn [fast, slow] -> fast - slow end)
    |> Enum.with_index(fn macd, index -> if index >= 25, do: macd end)
  end

  defp ema(values, span) do
    weight = 2 / (span + 1)
    Enum.scan(values, fn value, mean -> weight * value + (1 - weight) * mean end)
  end

  defp changes(prices), do: Enum.zip_with([tl(prices), prices], fn [b, a] -> b - a end)
  defp gains(changes), do: Enum.map(changes, &max(&1, 0))
  defp losses(changes), do: Enum.map(changes, &max(-&1, 0))
  defp mean(values), do: Enum.sum(values) / length(values)
end
