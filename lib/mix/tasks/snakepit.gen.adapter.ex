defmodule Mix.Tasks.Snakepit.Gen.Adapter do
  @shortdoc "Writes a Python module with handlers, its test and its configuration"

  @moduledoc """
  Writes a Python module with handlers, its Elixir test and its configuration.

      $ mix snakepit.gen.adapter TextTools

  In an application `:my_app` this writes

    * `priv/python/text_tools_handlers.py`, with a command and a stream to start from;
    * `test/text_tools_test.exs`, which runs them on a pool of its own;
    * `config/text_tools.exs`, a pool `MyApp.TextTools` that starts with the application. A
      `config/config.exs` that imports it is written too if there is none; otherwise the
      line to add is shown.

  All of them run as they are:

      $ mix snakepit.setup
      $ mix test test/text_tools_test.exs

  ## Options

    * `--force` - write over files that are there
  """

  use Mix.Task

  @impl true
  def run(args) do
    {options, names} = OptionParser.parse!(args, strict: [force: :boolean])
    names = names(names)

    write("priv/python/#{names.python}.py", handlers(names), options)
    write("test/#{names.file}_test.exs", formatted(test_file(names)), options)
    write("config/#{names.file}.exs", formatted(config(names)), options)
    import_config(names)

    Mix.shell().info("""

    Try it:

        $ mix snakepit.setup
        $ mix test test/#{names.file}_test.exs
    """)
  end

  defp names([name]) do
    app = Mix.Project.config()[:app]
    base = app |> to_string() |> Macro.camelize()
    relative = String.replace_prefix(name, base <> ".", "")

    unless relative =~ ~r/^[A-Z][A-Za-z0-9]*$/,
      do: Mix.raise("expected a name such as TextTools, got: #{name}")

    file = Macro.underscore(relative)
    %{app: inspect(app), module: "#{base}.#{relative}", file: file, python: file <> "_handlers"}
  end

  defp names(_none_or_several), do: Mix.raise("give one name: mix snakepit.gen.adapter TextTools")

  defp write(path, content, options), do: Mix.Generator.create_file(path, content, options)

  # How long the lines are depends on the names.
  defp formatted(code), do: [Code.format_string!(code), "\n"]

  defp import_config(names) do
    line = ~s(import_config "#{names.file}.exs")

    case File.read("config/config.exs") do
      {:error, :enoent} ->
        Mix.Generator.create_file("config/config.exs", "import Config\n\n#{line}\n")

      {:ok, text} ->
        unless text =~ line,
          do: Mix.shell().info("\nAdd this line to config/config.exs:\n\n    #{line}")
    end
  end

  # The name of the module ends so that it hides no module of Python's own.
  defp handlers(names) do
    ~s'''
    """Handlers of the pool #{names.module}."""

    from snakepit_bridge import Context, command, on_start, stream

    model = {}


    @on_start
    def load():
        """Runs once in every worker, before its first call: the place to load a model."""
        model["greeting"] = "Hello"


    @command
    def #{names.file}_greet(name: str) -> dict:
        """Snakepit.execute("#{names.file}_greet", %{name: "Ada"}, pool: #{names.module})"""
        return {"text": f"{model['greeting']}, {name}"}


    @stream
    def #{names.file}_count(ctx: Context, to: int = 3):
        """Every dict that is yielded is a chunk, and the one that is returned is the last."""
        for n in range(1, to + 1):
            yield {"n": n}
        return {"total": to}
    '''
  end

  defp test_file(names) do
    """
    defmodule #{names.module}Test do
      use ExUnit.Case, async: true

      @pool __MODULE__.Pool

      setup_all do
        python = [path: [{#{names.app}, "priv/python"}], modules: ["#{names.python}"]]
        start_supervised!({Snakepit.Pool, name: @pool, pool_size: 1, python: python})
        :ok
      end

      test "#{names.file}_greet greets" do
        assert {:ok, %{"text" => "Hello, Ada"}} =
                 Snakepit.execute("#{names.file}_greet", %{name: "Ada"}, pool: @pool)
      end

      test "#{names.file}_count counts, chunk by chunk" do
        chunks = "#{names.file}_count" |> Snakepit.stream!(%{to: 2}, pool: @pool) |> Enum.to_list()

        assert [%{"n" => 1}, %{"n" => 2}, %{"total" => 2, "is_final" => true}] = chunks
      end
    end
    """
  end

  defp config(names) do
    """
    import Config

    # The options: Snakepit.Config.
    config :snakepit,
      pools: [
        {#{names.module},
         pool_size: 2,
         python: [path: [{#{names.app}, "priv/python"}], modules: ["#{names.python}"]]}
      ]
    """
  end
end
