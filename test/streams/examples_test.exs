defmodule Snakepit.Streams.ExamplesTest do
  # The examples run as they stand, in a VM of their own.
  use ExUnit.Case, async: true

  defp run(example) do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/streams/#{example}"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    output
  end

  test "a GenServer pauses, resumes and outlives its worker" do
    output = run("genserver.exs")
    assert output =~ ~r/listening: +mean \d+\.\d+ degrees, 1 stream open/
    assert output =~ ~r/paused: +mean none, 0 streams open/
    assert output =~ ~r/resumed: +mean \d+\.\d+ degrees, 1 stream open/
    assert output =~ ~r/worker killed: +mean \d+\.\d+ degrees, 1 stream open/
  end

  test "a page cancels one search with the next, and the last with itself" do
    output = run("live_view.exs")
    assert output =~ "search: yield from iter"
    assert output =~ ~r/\d+ lines in \d+ files/
    assert output =~ "6 searches were started, 0 still run."
    assert output =~ "The page is gone, and 0 searches run."
  end
end
