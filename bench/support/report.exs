defmodule Bench.Report do
  @moduledoc false
  # What is printed: the machine, ratios, figures, expectations.

  alias Bench.{Questions, Summary}

  @titles %{
    snakepit: "Snakepit",
    bare: "bare Rust",
    lane: "Rust on the lane",
    grpcio: "grpcio"
  }
  @systems [:snakepit, :bare, :lane, :grpcio]
  @label 26
  @cell 23

  def machine(lines) do
    for {name, text} <- lines, do: IO.puts(pad(name, 12) <> text)
    IO.puts("")
  end

  @doc """
  Snakepit beside the others.
  """
  def compared(results),
    do: compared(results, Questions.rows(), :snakepit, @systems -- [:snakepit], @titles)

  @doc """
  One system over each of the others, where a time below 1 and a rate above 1 are better, and then
  the figures of all.
  """
  def compared(results, rows, system, others, titles) do
    header("#{titles[system]} as a multiple of", Enum.map(others, &titles[&1]))

    for row <- rows,
        do: line(row.title, Enum.map(others, &ratio(Summary.ratio(results, row, system, &1))))

    IO.puts("")
    systems = [system | others]
    header("Figures", Enum.map(systems, &titles[&1]))

    for row <- rows do
      shown = Enum.map(systems, &figure(Summary.figure(results, row, &1), row.unit))
      line("#{row.title}, #{row.unit}", shown)
    end

    IO.puts("")
  end

  @doc """
  Which of grpcio's flavours were measured.
  """
  def flavours(chosen) do
    IO.puts("grpcio at its fastest")

    for {{server, client}, questions} <- Enum.group_by(chosen, &elem(&1, 1), &elem(&1, 0)) do
      line("#{server} server, #{client} client", [Enum.join(questions, ", ")])
    end

    IO.puts("")
  end

  def pool(pool) do
    IO.puts("Pool")
    line("start of 4 workers, ms", [figure(pool.start_ms, "ms")])
    line("idle worker, MiB", [figure(pool.idle_mib, "MiB")])
    line("worker at the end, MiB", [number(pool.end_mib)])
    line("lease, ns", [figure(pool.lease_ns, "ns")])
    line("16 callers, 10 slots, k/s", [figure(pool.queued_per_s, "k/s")])
    IO.puts("")
  end

  def expectations(checked) do
    IO.puts("Expectations")

    for %{text: text, measured: measured, ok: ok} <- checked do
      IO.puts(pad(if(ok, do: "ok", else: "MISSED"), 8) <> pad(text, 48) <> ratio(measured))
    end
  end

  defp header(title, columns) do
    line(title, columns)
    IO.puts(String.duplicate("-", @label + @cell * length(columns)))
  end

  defp line(label, cells) do
    cells = Enum.map_join(cells, &pad(&1, @cell))
    IO.puts(String.trim_trailing(pad(label, @label) <> cells))
  end

  defp ratio(summary), do: shown(summary, &number/1)

  defp figure(summary, "k/s"), do: shown(summary, &number(&1 / 1_000))
  defp figure(summary, _unit), do: shown(summary, &number/1)

  defp shown(nil, _format), do: ""

  defp shown(%{median: median, min: min, max: max}, format),
    do: "#{format.(median)} (#{format.(min)} - #{format.(max)})"

  # Three digits, and commas between thousands.
  defp number(value) when value < 10, do: :erlang.float_to_binary(value, decimals: 2)
  defp number(value) when value < 100, do: :erlang.float_to_binary(value, decimals: 1)

  defp number(value) do
    value |> round() |> to_string() |> String.replace(~r/\B(?=(\d{3})+$)/, ",")
  end

  defp pad(text, width), do: String.pad_trailing(text, width)
end
