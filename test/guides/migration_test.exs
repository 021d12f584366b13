defmodule Snakepit.Guides.MigrationTest do
  # Runs the steps of guides/migration.md as they stand there, one after the other.
  use ExUnit.Case, async: false

  @moduletag :capture_log
  @moduletag :tmp_dir

  setup {Snakepit.Test.AppEnv, :keep}

  test "every step works by itself", %{tmp_dir: directory} do
    blocks = blocks(File.read!("guides/migration.md"))
    assert length(blocks) > 12

    for {language, code} <- blocks, do: run(language, code, directory)
  end

  defp blocks(guide) do
    for [_block, language, code] <- Regex.scan(~r/^```(\w+)\n(.*?)^```$/ms, guide),
        do: {language, code}
  end

  defp run("python", "# python/" <> rest, directory) do
    [name, code] = String.split(rest, "\n", parts: 2)
    path = Path.join([directory, "python", name])
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, code)
    restart()
  end

  # What the file of the guide's reader would hold by now.
  defp run("elixir", "# config/runtime.exs\n" <> code, directory) do
    config = Config.Reader.eval!("config/runtime.exs", "import Config\n" <> code)
    config = put_directory(config[:snakepit], directory)
    Application.put_all_env(snakepit: config)
    restart()
  end

  defp run("elixir", code, _directory) do
    Code.eval_string(code, [], file: "guides/migration.md")
  end

  defp put_directory(config, directory) do
    for {key, value} <- config do
      case {key, value} do
        {:pool_config, options} ->
          {key, in_directory(options, directory)}

        {:pools, pools} ->
          {key, for({name, pool} <- pools, do: {name, in_directory(pool, directory)})}

        _other ->
          {key, value}
      end
    end
  end

  defp in_directory(options, directory),
    do: put_in(options, [:python, :path], [Path.join(directory, "python")])

  defp restart do
    :ok = Application.stop(:snakepit)
    :ok = Application.start(:snakepit)
  end
end
