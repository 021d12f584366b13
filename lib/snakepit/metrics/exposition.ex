defmodule Snakepit.Metrics.Exposition do
  @moduledoc false
  # The text format of Prometheus, version 0.0.4.

  alias Snakepit.Metrics.{Catalog, Store}

  @doc """
  One metric with its samples; nothing if there are none.
  """
  @spec metric(Catalog.t(), [{tuple(), number() | Store.histogram()}]) :: [iodata()]
  def metric(_metric, []), do: []

  def metric(%{name: name, type: type, help: help, labels: labels}, samples) do
    [
      ["# HELP ", name, ?\s, escape_help(help), ?\n, "# TYPE ", name, ?\s, to_string(type), ?\n]
      | for({values, value} <- samples, do: sample(name, pairs(labels, values), value))
    ]
  end

  defp sample(name, pairs, %{sum: sum, buckets: buckets}) do
    {lines, count} =
      (Store.bounds() ++ [:infinity])
      |> Enum.zip(buckets)
      |> Enum.map_reduce(0, fn {bound, n}, total ->
        pairs = pairs ++ [{"le", bound(bound)}]
        {line([name, "_bucket"], pairs, total + n), total + n}
      end)

    [
      lines,
      line([name, "_sum"], pairs, sum / 1.0e9),
      line([name, "_count"], pairs, count)
    ]
  end

  defp sample(name, pairs, value), do: line(name, pairs, value)

  defp line(name, pairs, value), do: [name, labels(pairs), ?\s, number(value), ?\n]

  defp pairs(labels, values) do
    for {label, value} <- Enum.zip(labels, Tuple.to_list(values)),
        do: {to_string(label), text(value)}
  end

  defp labels([]), do: []

  defp labels(pairs) do
    inner = for {label, value} <- pairs, do: [label, ?=, ?", escape(value), ?"]
    [?{, Enum.intersperse(inner, ?,), ?}]
  end

  # Modules without the prefix that Elixir gives them, as in the ids of workers.
  defp text(value), do: value |> to_string() |> String.replace_prefix("Elixir.", "")

  defp bound(:infinity), do: "+Inf"
  defp bound(seconds), do: number(seconds)

  defp number(value) when is_integer(value), do: Integer.to_string(value)
  defp number(value) when is_float(value), do: Float.to_string(value)

  defp escape(value) do
    value
    |> String.replace_invalid()
    |> String.replace("\\", "\\\\")
    |> String.replace("\"", "\\\"")
    |> String.replace("\n", "\\n")
  end

  defp escape_help(text), do: text |> String.replace("\\", "\\\\") |> String.replace("\n", "\\n")
end
