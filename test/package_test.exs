defmodule Snakepit.PackageTest do
  use ExUnit.Case, async: true

  alias Snakepit.Test.HexPackage

  @most_bytes 4_000_000

  setup_all do: %{files: HexPackage.files(), config: Mix.Project.config()}

  test "the package has every file of these directories that is kept in git", %{files: files} do
    {kept, 0} = System.cmd("git", ~w(ls-files -z lib native proto priv))

    left_out =
      for path <- String.split(kept, "\0", trim: true),
          path not in files,
          not (path =~ ~r{(^|/)tests?/}),
          do: path

    # Those of the client are for work on Snakepit itself.
    assert Enum.reject(left_out, &String.starts_with?(&1, "native/client/examples/")) == []
  end

  test "it has nothing but those and the files about them", %{files: files} do
    {kept, 0} = System.cmd("git", ~w(ls-files -z --cached --others --exclude-standard))

    assert files -- String.split(kept, "\0", trim: true) == []

    # The examples are handlers for everybody to try.
    others = Enum.reject(files, &String.starts_with?(&1, "priv/python/snakepit_bridge/examples/"))
    assert Enum.filter(others, &(&1 =~ ~r{(^|/)(tests?|bench|examples|_build)/})) == []

    assert ~w(README.md CHANGELOG.md LICENSE mix.exs) -- files == []
  end

  test "it leaves out what is built beside the sources", %{config: config} do
    built = ~w(priv/python/snakepit_bridge/_native.cpython-311-x86_64-linux-gnu.so
               priv/python/snakepit_bridge/__pycache__/_worker.cpython-311.pyc
               priv/python/snakepit_bridge.egg-info/PKG-INFO priv/python/.mypy_cache/x
               priv/js/node_modules/x/index.js native/target/release/x)

    patterns = config[:package][:exclude_patterns]
    assert for(path <- built, not Enum.any?(patterns, &(path =~ &1)), do: path) == []
  end

  test "it is small", %{files: files} do
    assert files |> Enum.sum_by(&File.stat!(&1).size) < @most_bytes
  end

  test "its metadata is what Hex asks for", %{config: config} do
    assert %{major: _} = Version.parse!(config[:version])
    assert String.length(config[:description]) in 1..300
    assert config[:package][:licenses] == ["Apache-2.0"]
    assert is_map(config[:package][:links])
    assert Enum.all?(config[:deps], &match?({_name, requirement} when is_binary(requirement), &1))
  end

  test "both sides have its version", %{config: config} do
    version = config[:version]

    for {file, pattern} <- [
          {"priv/python/pyproject.toml", ~s(version = "#{version}")},
          {"priv/js/package.json", ~s("version": "#{version}")},
          {"native/Cargo.toml", ~s(version = "#{version}")},
          {"CHANGELOG.md", "## #{version}"}
        ],
        do: assert(File.read!(file) =~ pattern, file)
  end

  test "the documentation has every guide and every notebook", %{config: config} do
    assert (Path.wildcard("guides/*.md") ++ Path.wildcard("livebooks/*.livemd")) --
             config[:docs][:extras] == []
  end
end
