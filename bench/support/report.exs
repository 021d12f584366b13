defmodule Bench.Report do
  @moduledoc false
  # What is printed: the machine, a table for each question, the targets.

  alias Bench.{Question, Rounds, Summary, Table, Targets}

  @spec machine([{String.t(), String.t()}]) :: :ok
  def machine(lines) do
    for {name, text} <- lines, do: IO.puts(String.pad_trailing(name, 12) <> text)
    IO.puts("")
  end

  @spec question({Question.t(), pos_integer()}, Rounds.results()) :: :ok
  def question({%Question{} = question, number}, results) do
    IO.puts("#{number}. #{question.title}\n#{question.note}\n")
    ratio = for {_way, title} <- [question.ratio], do: title
    titles = Enum.map(question.figures, &title/1)
    Table.print([""] ++ ratio ++ titles, Enum.map(question.rows, &row(&1, question, results)))
    IO.puts("")
  end

  defp title(%{title: title, unit: ""}), do: title
  defp title(%{title: title, unit: unit}), do: "#{title}, #{unit}"

  defp row(row, question, results) do
    ratio =
      for {_way, _title} <- [question.ratio],
          do: Table.cell(Summary.shown_ratio(results, question, row))

    figures =
      for figure <- question.figures,
          do: Table.cell(Summary.figure(results, question.key, row.key, figure.key), figure.unit)

    [row.title] ++ ratio ++ figures
  end

  @doc """
  What was promised, and what came of it.
  """
  @spec targets([Targets.checked()]) :: :ok
  def targets(checked) do
    IO.puts("Targets\n")

    rows =
      for target <- checked,
          do: [verdict(target), target.question, bound(target), measured(target)]

    Table.print(["", "", "target", "measured"], rows)
  end

  defp verdict(%{ok: true}), do: "ok"
  defp verdict(%{ok: false}), do: "MISSED"
  defp verdict(%{ok: nil}), do: "?"

  defp bound(%{bound: bound, limit: limit, of: of}), do: "#{sign(bound)} #{limit} #{of}"

  defp sign("at_most"), do: "<="
  defp sign("at_least"), do: ">="

  defp measured(%{measured: nil}), do: "not measured here"
  defp measured(%{measured: measured}), do: Table.cell(measured)
end
