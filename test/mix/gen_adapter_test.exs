defmodule Snakepit.GenAdapterTest do
  use ExUnit.Case, async: true

  @moduletag timeout: 120_000

  @root File.cwd!()

  setup do: %{tmp_dir: Snakepit.Test.OsProcess.tmp_dir()}

  # A new application that depends on this Snakepit, with the Python of this checkout.
  defp new_app(directory) do
    app = Path.join(directory, "letters")
    File.mkdir_p!(app)

    File.write!(Path.join(app, "mix.exs"), """
    defmodule Letters.MixProject do
      use Mix.Project

      def project, do: [app: :letters, version: "0.1.0", deps: [{:snakepit, path: #{inspect(@root)}}]]
      def application, do: [extra_applications: [:logger]]
    end
    """)

    File.write!(Path.join(app, ".formatter.exs"), ~s([inputs: ["{config,test}/*.exs"]]\n))
    File.mkdir_p!(Path.join(app, "test"))
    File.write!(Path.join(app, "test/test_helper.exs"), "ExUnit.start()\n")
    app
  end

  defp mix(app, args) do
    env = [{"MIX_ENV", "test"}, {"SNAKEPIT_PYTHON", Path.join(@root, ".venv/bin/python")}]
    System.cmd("mix", args, cd: app, env: env, stderr_to_stdout: true)
  end

  defp mix!(app, args) do
    {output, status} = mix(app, args)
    assert status == 0, "mix #{Enum.join(args, " ")} failed:\n\n#{output}"
    output
  end

  test "what it writes is formatted, passes its test and runs", %{tmp_dir: directory} do
    app = new_app(directory)
    output = mix!(app, ["snakepit.gen.adapter", "WordTools"])
    assert output =~ "mix test test/word_tools_test.exs"

    for file <-
          ~w(priv/python/word_tools_handlers.py test/word_tools_test.exs config/word_tools.exs),
        do: assert(File.exists?(Path.join(app, file)))

    mix!(app, ["format", "--check-formatted"])
    assert mix!(app, ["test", "--warnings-as-errors"]) =~ "2 tests, 0 failures"

    # A second one lives beside it, also in the configuration, which is not written over.
    assert mix!(app, ["snakepit.gen.adapter", "Letters.Sums"]) =~ ~s(import_config "sums.exs")
    config = Path.join(app, "config/config.exs")
    File.write!(config, ~s(import_config "sums.exs"\n), [:append])

    script = """
    {:ok, %{"text" => text}} =
      Snakepit.execute("word_tools_greet", %{name: "Ada"}, pool: Letters.WordTools)

    chunks = Enum.to_list(Snakepit.stream!("sums_count", %{}, pool: Letters.Sums))
    IO.puts("\#{text}: \#{length(chunks)} chunks")
    """

    assert mix!(app, ["run", "-e", script]) =~ "Hello, Ada: 4 chunks"
  end

  test "a name that is none is refused before anything is written" do
    for args <- [[], ["a", "b"], ["lower"], ["Has-Dash"], ["Other.App.Name"]] do
      assert_raise Mix.Error, ~r/TextTools/, fn -> Mix.Tasks.Snakepit.Gen.Adapter.run(args) end
    end
  end
end
