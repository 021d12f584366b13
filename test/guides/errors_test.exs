defmodule Snakepit.Guides.ErrorsTest do
  use ExUnit.Case, async: true

  alias Snakepit.Error

  setup_all do
    [overview | sections] = "guides/errors.md" |> File.read!() |> String.split("\n### :")
    sections = Map.new(sections, &(&1 |> String.split("\n", parts: 2) |> List.to_tuple()))
    %{overview: overview, sections: sections}
  end

  test "every condition and every kind has its section, and nothing else", %{sections: sections} do
    reasons = for reason <- Error.conditions() ++ Error.kinds(), do: to_string(reason)
    assert Enum.sort(Map.keys(sections)) == Enum.sort(reasons)
  end

  test "each says its cause, its cure, and what has run", %{sections: sections} do
    for {reason, text} <- sections, row <- ["cause", "cure", "retryable", "has run"] do
      assert text =~ ~r/^\| #{row} \|/m, "#{row} of #{reason}"
    end
  end

  test "what may be repeated is what the exception says", %{sections: sections} do
    for condition <- Error.conditions() do
      assert [_, answer] =
               Regex.run(~r/^\| retryable \| (yes|no)/m, sections[to_string(condition)])

      assert Error.exception(condition).retryable? == (answer == "yes"), inspect(condition)
    end
  end

  test "the overview has what may be repeated", %{overview: overview} do
    for condition <- Error.conditions(), Error.exception(condition).retryable? do
      assert [_] = Regex.scan(~r/\[`#{inspect(condition)}`\].* \| yes \|/, overview)
    end
  end
end
