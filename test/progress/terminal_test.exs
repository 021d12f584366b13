defmodule Snakepit.Progress.TerminalTest do
  # The same stream in a terminal and elsewhere, in a VM of its own.
  use ExUnit.Case, async: true

  @program ~w(mix run --no-compile test/support/programs/progress.exs)
  @clear "\r\e[K"

  defp run(columns, device \\ "stdio", env \\ [], redirect \\ "") do
    command = Enum.join(@program, " ") <> " #{device} #{redirect}"
    arguments = ["test/support/programs/terminal.py", "#{columns}", "sh", "-c", command]
    cmd(Path.expand(".venv/bin/python"), arguments, env)
  end

  defp cmd(program, arguments, env) do
    env = [{"MIX_ENV", "test"}, {"TERM", "xterm"}, {"CI", nil}, {"LC_ALL", "C.UTF-8"}] ++ env
    {output, status} = System.cmd(program, arguments, env: Map.to_list(Map.new(env)))
    assert status == 0, output
    output
  end

  # What is left on the lines of the terminal.
  defp left(output) do
    for line <- String.split(output, "\r\n"), do: line |> String.split(@clear) |> List.last()
  end

  test "a terminal has a bar, which moves, and keeps its last line" do
    output = run(70)
    assert [halfway, last, "the end", ""] = left(output)
    assert halfway == "halfway"

    assert last =~ ~r"^train  100%  │█{9,}│  20/20 epochs  \d+\.\d/s  0:0\d$"u
    drawn = output |> String.split(@clear) |> Enum.filter(&(&1 =~ "train"))
    assert length(drawn) in 6..16
    percentages = for line <- drawn, do: ~r/(\d+)%/ |> Regex.run(line) |> List.last() |> to_i()
    assert percentages == Enum.sort(percentages)
    assert hd(percentages) <= 30
    assert Enum.any?(drawn, &(&1 =~ ~r/ETA 0:0[01]/))
    for line <- String.split(output, [@clear, "\r\n"]), do: assert(String.length(line) < 70)
  end

  test "a narrow one has less" do
    assert "train  100%  │██████│" in left(run(22))
  end

  test "standard error is a terminal of its own" do
    output = run(70, "stderr", [], ">/dev/null")
    assert ["halfway", "train  100%  │" <> _bar, ""] = left(output)
    output = run(70, "stderr", [], "2>/dev/null")
    assert left(output) == ["the end", ""]
  end

  test "a terminal without Unicode has a plain bar" do
    output = run(70, "stdio", [{"LC_ALL", "C"}])
    assert output =~ ~r"train   \d\d%  \[#+-+\]"
    assert output =~ ~r"train  100%  \[#+\]  20/20 epochs"
  end

  test "what is no terminal has lines" do
    lines = ["halfway\n", ~r"^train  100%  20/20 epochs  .*\nthe end$"m]

    for output <- [
          run(70, "stdio", [{"TERM", "dumb"}]),
          run(70, "stdio", [{"CI", "true"}]),
          run(70, "stdio", [], "| cat"),
          cmd("sh", ["-c", Enum.join(@program, " ") <> " stdio 2>&1 | cat"], [])
        ],
        output = String.replace(output, @clear, ""),
        output = String.replace(output, "\r\n", "\n") do
      refute output =~ ~r/[\r\e█#]/u
      for line <- lines, do: assert(output =~ line)
      assert length(Regex.scan(~r/train/, output)) in 2..3
    end
  end

  defp to_i(text), do: String.to_integer(text)
end
