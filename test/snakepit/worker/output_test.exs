defmodule Snakepit.Worker.OutputTest do
  use ExUnit.Case, async: true

  alias Snakepit.Worker.{Link, Output}

  defp feed(parts) do
    Enum.flat_map_reduce(parts, Output.new(), &Output.feed(&2, &1))
  end

  test "lines are text" do
    assert {[{:text, "one"}, {:text, "two"}], _output} = feed(eol: "one", eol: "two")
  end

  test "empty lines are nothing" do
    assert {[], _output} = feed(eol: "")
  end

  test "parts of a line are joined" do
    assert {[{:text, "abc"}], _output} = feed(noeol: "a", noeol: "b", eol: "c")
  end

  test "control lines are told from text" do
    assert {[{:control, %{"event" => "ready", "os_pid" => 1}}], _output} =
             feed(eol: "\x1e" <> ~s({"event":"ready","os_pid":1}))
  end

  test "a control line in pieces is put together, and text between them is told" do
    assert {[{:text, "chatter"}, {:text, "half a line"}, {:control, %{"event" => "log"}}],
            _output} =
             feed(
               eol: "\x1e+" <> ~s({"event":),
               eol: "chatter",
               eol: "half a line\x1e+" <> ~s("l),
               eol: "\x1e" <> ~s(og"})
             )
  end

  test "pieces without an end are given up" do
    part = "\x1e+" <> String.duplicate("x", 50_000)
    {[], output} = feed(for _ <- 1..30, do: {:eol, part})
    assert output.pieces_size <= 1_000_000
  end

  test "what was logged counts as a last line" do
    {_items, output} = feed(eol: "\x1e" <> ~s({"event":"log","message":"no GPU"}))
    assert Output.last_lines(output) == ["no GPU"]
  end

  test "text without an end in front of a control line is kept apart" do
    assert {[{:text, "Loading..."}, {:control, %{"event" => "ready"}}], _output} =
             feed(eol: "Loading...\x1e" <> ~s({"event":"ready"}))
  end

  test "so much of it that it is cut leaves the control line whole" do
    part = String.duplicate("x", 16_384)
    ready = "\x1e" <> ~s({"event":"ready"})

    for parts <- [[noeol: "y", eol: ready], [eol: "y" <> ready]] do
      {items, _output} = feed(List.duplicate({:noeol, part}, 6) ++ parts)
      assert [{:text, text}, {:control, %{"event" => "ready"}}] = items
      assert text =~ "[cut: the line has 98305 bytes]"
    end
  end

  test "what only looks like a control line is text" do
    assert {[{:text, "not json"}], _output} = feed(eol: "\x1enot json")
    assert {[{:text, "[1]"}], _output} = feed(eol: "\x1e[1]")
  end

  test "a line of a megabyte is cut, and says so" do
    part = String.duplicate("x", 16_384)
    {[{:text, line}], output} = feed(List.duplicate({:noeol, part}, 64) ++ [eol: "end"])
    assert byte_size(line) < 70_000
    assert line =~ "x [cut: the line has 1048579 bytes]"
    assert [last] = Output.last_lines(output)
    assert byte_size(last) <= 500
    assert {[{:text, "next"}], _output} = Output.feed(output, {:eol, "next"})
  end

  test "bytes that are no text become text" do
    assert {[{:text, line}], _output} = feed(eol: <<"a", 0xFF, "b">>)
    assert String.valid?(line)
  end

  test "the last lines are kept, an unfinished one too" do
    {_items, output} = feed(for(n <- 1..30, do: {:eol, "line #{n}"}) ++ [noeol: "half"])
    lines = Output.last_lines(output)
    assert length(lines) == 20
    assert List.last(lines) == "half"
    assert hd(lines) == "line 12"
  end

  test "a worker that was just started may write, whatever time the VM had that compiled this" do
    link = Link.new("w-1", Snakepit.Config.new!([]))
    assert {[text: "a line"], _output} = Output.read(link.output, "a line\n")
  end
end
