defmodule Snakepit.GuidesTest do
  @moduledoc """
  Runs the code of README.md and of every guide, as a reader would who types it from the top down.

  | a block marked | is |
  |---|---|
  | `python` | a file: its first line names it, `# python/NAME.py` or `# priv/python/NAME.py`. It is written there, over the one that was there before, and the pool starts again |
  | `python` with the first line `# python/test_NAME.py` | a test, which pytest runs |
  | `elixir` with the first line `# config/NAME.exs` | configuration of the application, which starts again with it |
  | `elixir` with the first line `# mix.exs` | a part of that module; its `deps/0` is called |
  | `elixir` with the first line `# lib/my_app/application.ex` | a module of that name, which is started |
  | `elixir` | evaluated, without warnings; what one block binds, imports and defines is there in the next |
  | `output` | what the `elixir` block before it has printed |
  | `sh`, `text` and any other language | not run |

  Until a guide configures a pool, one named `:default` serves all the files in Python that it has had.
  A block that is not marked, or not fenced, is an error: so nothing is left out by oversight.
  """

  use ExUnit.Case, async: false

  alias Snakepit.Test.CodeBlocks

  @moduletag :capture_log
  @moduletag :tmp_dir

  setup {Snakepit.Test.AppEnv, :keep}

  setup do
    Code.put_compiler_option(:ignore_module_conflict, true)
    on_exit(fn -> Code.put_compiler_option(:ignore_module_conflict, false) end)
  end

  for file <- ["README.md" | Path.wildcard("guides/*.md")] do
    test "the code of #{file} runs", %{tmp_dir: directory} do
      {blocks, indented} = CodeBlocks.parse(File.read!(unquote(file)))
      assert [] == indented, "lines of code that are not fenced: #{inspect(indented)}"

      assert [] == for(%{language: "", line: line} <- blocks, do: line),
             "fences without a language"

      CodeBlocks.run(blocks, unquote(file), directory)
    end
  end

  test "every guide is in the table of README.md and in the documentation" do
    readme = File.read!("README.md")
    extras = Mix.Project.config()[:docs][:extras]

    for guide <- Path.wildcard("guides/*.md") do
      assert readme =~ "| [#{guide}](#{guide}) |"
      assert guide in extras
    end
  end
end
