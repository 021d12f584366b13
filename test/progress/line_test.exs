defmodule Snakepit.Progress.LineTest do
  use ExUnit.Case, async: true

  alias Snakepit.Progress.Line

  @view %{
    label: "train",
    unit: "epochs",
    width: 30,
    fraction: 0.4,
    value: 4,
    total: 10,
    rate: 1.25,
    elapsed: 3_200,
    left: 4_800,
    message: nil,
    problem: nil
  }

  defp line(changes, format \\ []) do
    format = Map.merge(%{style: :lines, columns: :infinity, unicode: true}, Map.new(format))
    Line.render(Map.merge(@view, Map.new(changes)), format)
  end

  defp bar(changes, columns, unicode \\ true),
    do: line(changes, style: :bar, columns: columns, unicode: unicode)

  test "a line has everything but the bar" do
    assert line([]) == "train  40%  4/10 epochs  1.3/s  0:03  ETA 0:05"
    assert line(message: "epoch 4\nand more") =~ ~r/ETA 0:05  epoch 4$/
    assert line(label: "", fraction: nil, total: nil, left: nil) == "4 epochs  1.3/s  0:03"
  end

  test "a bar has as much room as there is" do
    assert bar([], 100) ==
             "train   40%  │████████████                  │  4/10 epochs  1.3/s  0:03  ETA 0:05"

    assert bar([], 100, false) ==
             "train   40%  [############------------------]  4/10 epochs  1.3/s  0:03  ETA 0:05"

    assert bar([width: 10, fraction: 0.44], 100) =~ "│████▍     │"
    assert bar([], 40) == "train   40%  │███▏    │  0:03  ETA 0:05"
  end

  test "no line is wider than the terminal, whatever is on it" do
    for columns <- 1..120,
        unicode <- [true, false],
        problem <- [nil, "ValueError: 価値がない"],
        label <- ["", "train", "日本語のラベル"],
        fraction <- [nil, 0, 0.4, 1, 7.5, -1] do
      changes = [label: label, fraction: fraction, problem: problem, message: "épochè 👩‍🔬 4"]
      text = bar(changes, columns, unicode)
      assert columns(text) < max(columns, 2), text
      assert unicode or text =~ ~r/\A[ -~]*\z/
    end
  end

  # As a terminal counts: the letters above take one column or two.
  defp columns(text) do
    text
    |> String.graphemes()
    |> Enum.map(&if(&1 =~ ~r/\A[\p{Han}\p{Hiragana}\p{Katakana}👩🔬]/u, do: 2, else: 1))
    |> Enum.sum()
  end

  test "an error takes the place of what it stands for" do
    assert bar([problem: "ValueError: no\nTraceback"], 100) =~ ~r/0:03 .* ValueError: no$/
    assert bar([problem: "ValueError: no"], 30) == "train   40%  ValueError: no"
    assert bar([problem: "ValueError: no"], 24) == "train   40%  ValueErro…"
  end

  test "foreign texts move no cursor" do
    assert line(message: "a\e[2J\tb\u202Ec\x00") =~ ~r/a \[2J b c$/
    assert line(label: <<"a", 255, "b">>) =~ "a�b"
    assert bar([label: "naïve"], 100, false) =~ "na?ve"
  end

  test "numbers are as people write them" do
    assert line(value: 1_234_567, total: 12_345_678, unit: "rows") =~ "1,234,567/12,345,678 rows"
    assert line(value: 0.5, total: 1, unit: "") =~ "  0.5/1  "
    assert line(value: -1_234.5, total: nil) =~ " -1,235 epochs "
    assert line(rate: 61_234.5) =~ " 61,235/s "
    assert line(rate: 0.125) =~ " 8.0 s each "
    assert line(elapsed: 3_725_000) =~ " 1:02:05 "
    assert line(elapsed: 59_999) =~ " 0:59 "
    assert line(fraction: 0.999) =~ " 99% "
  end
end
