defmodule Bench.Results do
  @moduledoc false
  # Everything that was measured, as JSON; README.md names the keys.

  alias Bench.{Question, Rounds, Settings, Summary}

  @directory "_build/bench"

  @doc """
  Writes `name`.json with the questions, whatever else is given, and says where it is.
  """
  @spec write!(String.t(), Settings.t(), [Question.t()], Rounds.results(), map()) :: :ok
  def write!(name, settings, questions, results, more) do
    path = Path.join(System.get_env("BENCH_RESULTS", @directory), name <> ".json")
    File.mkdir_p!(Path.dirname(path))

    more
    |> Map.merge(%{
      bench: settings.name,
      rounds: settings.rounds,
      questions: Enum.map(questions, &question(&1, settings, results))
    })
    |> JSON.encode!()
    |> then(&File.write!(path, &1))

    IO.puts("\nEvery figure of every round: #{path}")
  end

  defp question(%Question{} = question, settings, results) do
    %{
      key: question.key,
      title: question.title,
      rounds: Question.rounds(question, settings),
      figures: question.figures,
      ratio: ratio(question),
      rows: Enum.map(question.rows, &row(&1, question, results))
    }
  end

  defp ratio(%Question{ratio: nil}), do: nil
  defp ratio(%Question{ratio: {_way, title}}), do: title

  defp row(row, question, results) do
    figures =
      for %{key: key} <- question.figures,
          summary = Summary.figure(results, question.key, row.key, key),
          into: %{},
          do: {key, summary}

    %{
      key: row.key,
      title: row.title,
      ratio: Summary.shown_ratio(results, question, row),
      figures: figures
    }
  end
end
