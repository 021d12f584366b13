defmodule Bench.Rounds do
  @moduledoc false
  # Asks all systems the same question one after the other, and that again and again, so that
  # what the machine does meanwhile falls on all of them.

  @doc """
  The figures of every round: `%{question => %{system => [figures]}}`, a round each.
  """
  def run(questions, systems, rounds) do
    for round <- 1..rounds,
        question <- questions,
        reduce: %{} do
      results ->
        systems
        |> rotate(round)
        |> Enum.reduce(results, fn {system, measure}, results ->
          put(results, question.key, system, measure.(question))
        end)
        |> tap(fn _ -> IO.write(:stderr, ".") end)
    end
    |> tap(fn _ -> IO.write(:stderr, "\n\n") end)
  end

  # Each system is the first one in turn.
  defp rotate(systems, round) do
    {front, back} = Enum.split(systems, rem(round - 1, length(systems)))
    back ++ front
  end

  defp put(results, _question, _system, nil), do: results

  defp put(results, question, system, figures) do
    Map.update(results, question, %{system => [figures]}, fn systems ->
      Map.update(systems, system, [figures], &(&1 ++ [figures]))
    end)
  end
end
