defmodule Snakepit.Test.Flights do
  @moduledoc """
  The figures of the flights, counted here and not in Python.
  """

  @doc """
  For each carrier the flights, those with an arrival delay, and its sum. The table has no quoted field.
  """
  def by_carrier(path) do
    [header | rows] = path |> File.read!() |> String.split("\n", trim: true)
    names = String.split(header, ",")
    carrier_at = Enum.find_index(names, &(&1 == "carrier"))
    delay_at = Enum.find_index(names, &(&1 == "arr_delay"))

    Enum.reduce(rows, %{}, fn row, counted ->
      fields = String.split(row, ",")
      {seen, sum} = delay(Enum.at(fields, delay_at))

      Map.update(counted, Enum.at(fields, carrier_at), {1, seen, sum}, fn {flights, delays, total} ->
        {flights + 1, delays + seen, total + sum}
      end)
    end)
  end

  defp delay(missing) when missing in ["", "NA"], do: {0, 0}

  defp delay(text) do
    {minutes, _rest} = Float.parse(text)
    {1, minutes}
  end
end
