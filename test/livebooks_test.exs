defmodule Snakepit.LivebooksTest do
  # Evaluates every notebook as Livebook does, cell by cell, in a VM of its own with Mix.install as it stands
  # there. Their checks are the patterns in the cells.
  use ExUnit.Case, async: true

  alias Snakepit.Test.OsProcess

  @moduletag timeout: 300_000

  @notebooks Path.wildcard("livebooks/*.livemd")

  test "every cell of the notebooks can be evaluated" do
    directory = OsProcess.tmp_dir()

    env = [
      {"MIX_ENV", nil},
      {"MIX_INSTALL_DIR", Path.join(directory, "install")},
      {"SNAKEPIT_PYTHON", nil},
      {"TMPDIR", directory}
    ]

    {output, status} =
      System.cmd("elixir", ["test/support/livebook.exs" | @notebooks],
        env: env,
        stderr_to_stdout: true
      )

    assert status == 0, output
    for notebook <- @notebooks, do: assert(output =~ ~r/#{notebook}: \d+ cells/, output)
    refute output =~ "warning:", output
  end

  # The VM has one set of dependencies for all of them.
  test "they begin with the same cell" do
    assert [_] =
             @notebooks
             |> Enum.map(fn path ->
               [_title, cell | _rest] = path |> File.read!() |> String.split("```elixir\n")
               cell |> String.split("```") |> hd()
             end)
             |> Enum.uniq()
  end
end
