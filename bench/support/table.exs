defmodule Bench.Table do
  @moduledoc false
  # Text in columns.

  alias Bench.Summary

  @between 3

  @doc """
  Prints rows under a header; the columns are as wide as what is in them.
  """
  @spec print([String.t()], [[String.t()]]) :: :ok
  def print(header, rows) do
    widths =
      [header | rows]
      |> Enum.zip_with(& &1)
      |> Enum.map(fn column -> column |> Enum.map(&String.length/1) |> Enum.max() end)

    IO.puts(line(header, widths))
    IO.puts("  " <> String.duplicate("-", Enum.sum(widths) + @between * (length(widths) - 1)))
    Enum.each(rows, &IO.puts(line(&1, widths)))
  end

  defp line(cells, widths) do
    cells
    |> Enum.zip_with(widths, &String.pad_trailing/2)
    |> Enum.join(String.duplicate(" ", @between))
    |> then(&("  " <> String.trim_trailing(&1)))
  end

  @doc """
  The median and how far the rounds reach.
  """
  @spec cell(Summary.t() | nil, String.t()) :: String.t()
  def cell(summary, unit \\ "")
  def cell(nil, _unit), do: ""

  def cell(%{median: median, min: min, max: max}, unit) do
    [median, min, max] = for value <- [median, min, max], do: number(value / scale(unit))
    "#{median} (#{min} - #{max})"
  end

  defp scale("k/s"), do: 1_000
  defp scale("GB/s"), do: 1_000
  defp scale(_unit), do: 1

  # Two or three digits, and commas between thousands.
  defp number(value) when value == 0, do: "0"
  defp number(value) when value < 0.1, do: :erlang.float_to_binary(value / 1, decimals: 4)
  defp number(value) when value < 10, do: :erlang.float_to_binary(value / 1, decimals: 2)
  defp number(value) when value < 100, do: :erlang.float_to_binary(value / 1, decimals: 1)

  defp number(value) do
    value |> round() |> to_string() |> String.replace(~r/\B(?=(\d{3})+$)/, ",")
  end
end
