defmodule Bench.Rounds do
  @moduledoc false
  # Asks all systems the same question one after the other, and that again and again, so that
  # what the machine does meanwhile falls on all of them.

  alias Bench.{Question, Settings}

  @type results :: %{atom() => %{atom() => [Question.figures()]}}

  @doc """
  The figures of every round, by question and row.
  """
  @spec run([Question.t()], Settings.t()) :: results()
  def run(questions, settings) do
    rounds = questions |> Enum.map(&Question.rounds(&1, settings)) |> Enum.max()

    for round <- 1..rounds,
        question <- questions,
        round <= Question.rounds(question, settings),
        reduce: %{} do
      results ->
        if question == hd(questions), do: IO.write(:stderr, "round #{round} of #{rounds} ")
        results = ask(question, round, results)
        IO.write(:stderr, if(question == List.last(questions), do: ".\n", else: "."))
        results
    end
    |> tap(fn _ -> IO.write(:stderr, "\n") end)
  end

  defp ask(%Question{together: nil} = question, round, results) do
    question.rows
    |> rotate(round)
    |> Enum.reduce(results, &put(&2, question, &1.key, alone(&1.measure)))
  end

  defp ask(%Question{together: measure} = question, _round, results) do
    Enum.reduce(alone(measure) || %{}, results, fn {row, figures}, results ->
      put(results, question, row, figures)
    end)
  end

  # In a process of its own, whose memory has nothing of what was measured before.
  defp alone(measure), do: measure |> Task.async() |> Task.await(:infinity)

  # Each row is the first one in turn.
  defp rotate(rows, round) do
    {front, back} = Enum.split(rows, rem(round - 1, length(rows)))
    back ++ front
  end

  defp put(results, _question, _row, nil), do: results

  defp put(results, %Question{key: question}, row, figures) do
    Map.update(results, question, %{row => [figures]}, fn rows ->
      Map.update(rows, row, [figures], &(&1 ++ [figures]))
    end)
  end
end
