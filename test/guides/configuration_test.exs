defmodule Snakepit.Guides.ConfigurationTest do
  use ExUnit.Case, async: true

  alias Snakepit.Config.Environment
  alias Snakepit.Test.OptionsGuide

  setup_all do
    %{guide: File.read!("guides/configuration.md")}
  end

  test "the tables are those of the schemas", %{guide: guide} do
    assert guide == OptionsGuide.render(guide), "run scripts/options-guide"
  end

  test "every schema has its table, once", %{guide: guide} do
    assert Enum.sort(OptionsGuide.names(guide)) == Enum.sort(OptionsGuide.all())
  end

  test "every key of the application environment is told of", %{guide: guide} do
    [_, section] = String.split(guide, "## In the application environment")
    [table | _] = String.split(section, "\n## ")

    for key <- Environment.keys(), do: assert(table =~ "`#{inspect(key)}`")
  end
end
