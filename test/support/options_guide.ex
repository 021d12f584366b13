defmodule Snakepit.Test.OptionsGuide do
  @moduledoc """
  Writes the tables of `guides/configuration.md` from the schemas that check the options. Each stands
  between two comments that name its schema.
  """

  alias Snakepit.{Config, Endpoint, Jobs, Log, Request, Schema}

  @table ~r/<!-- options (\w+) -->\n.*?<!-- \/options -->/s

  @doc """
  The text of the guide with its tables made anew.
  """
  def render(text) do
    Regex.replace(@table, text, fn _all, name ->
      "<!-- options #{name} -->\n#{table(schema(name))}\n<!-- /options -->"
    end)
  end

  @doc """
  The schemas that have a table in a text.
  """
  def names(text), do: for([_all, name] <- Regex.scan(@table, text), do: name)

  @doc """
  All schemas.
  """
  def all do
    ~w(pool python javascript health recycle call endpoint log) ++
      ~w(service submit result watch pages batch)
  end

  defp schema("pool"), do: Config.Options.pool()
  defp schema("call"), do: Request.schema()
  defp schema("endpoint"), do: Endpoint.Options.schema()
  defp schema("log"), do: Log.schema()

  defp schema(name) when name in ~w(python javascript health recycle),
    do: Config.Options.nested(String.to_existing_atom(name))

  defp schema(name), do: Jobs.Options.schema(String.to_existing_atom(name))

  defp table(schema) do
    rows =
      for option <- Schema.describe(schema),
          do: "| `#{option.key}` | #{option.expected} | #{default(option)} | #{option.doc} |"

    Enum.join(["| option | takes | default | |", "|---|---|---|---|" | rows], "\n")
  end

  defp default(%{default: nil}), do: ""
  defp default(%{default: default}), do: "`#{default}`"
end
