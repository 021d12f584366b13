defmodule Snakepit.Test.CodeBlocks do
  @moduledoc """
  Finds the code blocks of a Markdown file, and runs them as its reader would: one after the other, in
  the directory of an application. `Snakepit.GuidesTest` says by which rules.
  """

  import ExUnit.Assertions

  defstruct [:language, :code, :line]

  @pools [:adapter_module, :adapters, :pool_config, :grpc_config, :pools]

  @doc """
  The fenced blocks of a text, and the lines of code outside of them.
  """
  def parse(markdown) do
    markdown
    |> String.split("\n")
    |> Enum.with_index(1)
    |> Enum.reduce({[], [], nil}, &line/2)
    |> then(fn {blocks, indented, nil} -> {Enum.reverse(blocks), Enum.reverse(indented)} end)
  end

  defp line({"```" <> language, number}, {blocks, indented, nil}),
    do: {blocks, indented, %__MODULE__{language: language, code: [], line: number + 1}}

  defp line({"```", _number}, {blocks, indented, block}) do
    code = block.code |> Enum.reverse() |> Enum.map_join(&(&1 <> "\n"))
    {[%{block | code: code} | blocks], indented, nil}
  end

  defp line({"    " <> _code, number}, {blocks, indented, nil}),
    do: {blocks, [number | indented], nil}

  defp line({_text, _number}, {blocks, indented, nil}), do: {blocks, indented, nil}

  defp line({code, _number}, {blocks, indented, block}),
    do: {blocks, indented, %{block | code: [code | block.code]}}

  @doc """
  Runs the blocks of the file in `directory`. Whatever they start is gone afterwards.
  """
  def run(blocks, file, directory) do
    venv = Path.expand(".venv")
    {:ok, output} = StringIO.open("")
    leader = Process.group_leader()
    linked = links()
    Process.group_leader(self(), output)

    state = %{file: file, output: output, printed: "", binding: [], env: env(file), modules: []}

    try do
      File.cd!(directory, fn ->
        File.ln_s!(venv, ".venv")
        true = Code.prepend_path(my_app())
        Enum.reduce(blocks, state, &step/2)
      end)
    after
      :code.del_path(:my_app)
      Process.group_leader(self(), leader)
      for pid <- links() -- linked, do: stop(pid)
    end
  end

  # As mix lays an application out, for {:my_app, "priv/python"} to be found.
  defp my_app do
    application = Path.expand("_build/lib/my_app")
    ebin = Path.join(application, "ebin")
    File.mkdir_p!(ebin)
    File.ln_s!(Path.expand("priv"), Path.join(application, "priv"))
    ebin
  end

  defp step(%{language: "python"} = block, state) do
    case Regex.run(~r{\A# ((?:priv/)?python)/(\S+)\.py\n}, block.code) do
      [_line, directory, name] ->
        path = Path.join(directory, name <> ".py")
        File.mkdir_p!(Path.dirname(path))
        File.write!(path, block.code)

        if String.starts_with?(name, "test_"),
          do: pytest(path, state),
          else: serve(state, directory, String.replace(name, "/", "."))

      nil ->
        flunk("#{place(block, state)}: the first line names no file: # python/NAME.py")
    end
  end

  defp step(%{language: "elixir", code: "# config/" <> _} = block, state) do
    path = block.code |> String.split("\n", parts: 2) |> hd() |> String.trim_leading("# ")
    File.mkdir_p!("config")
    File.write!(path, "import Config\n" <> block.code)
    config = Config.Reader.read!(path)[:snakepit]
    Application.put_all_env(snakepit: config)
    restart()
    if Enum.any?(@pools, &config[&1]), do: %{state | modules: :configured}, else: state
  end

  defp step(%{language: "elixir", code: "# mix.exs" <> _} = block, state) do
    called = "def called_deps, do: deps()\nend\nMyApp.MixProject.called_deps()"
    module = "defmodule MyApp.MixProject do\n" <> block.code <> called
    {deps, _binding, _env} = evaluate(%{block | code: module, line: block.line - 1}, state)
    assert [_ | _] = deps
    state
  end

  defp step(%{language: "elixir", code: "# lib/my_app/application.ex" <> _} = block, state) do
    {_result, binding, env} = evaluate(block, state)
    {:ok, _supervisor} = apply(MyApp.Application, :start, [:normal, []])
    %{state | binding: binding, env: env}
  end

  defp step(%{language: "elixir"} = block, state) do
    {_result, binding, env} = evaluate(block, state)
    %{state | binding: binding, env: env, printed: StringIO.flush(state.output)}
  end

  defp step(%{language: "output"} = block, state) do
    assert lines(state.printed) == lines(block.code),
           place(block, state) <> ": printed was\n\n#{state.printed}"

    state
  end

  defp step(_not_to_be_run, state), do: state

  defp pytest(path, state) do
    python = Path.expand(".venv/bin/python")
    {output, status} = System.cmd(python, ["-m", "pytest", "-q", path], stderr_to_stdout: true)
    assert status == 0, output
    state
  end

  defp serve(%{modules: :configured} = state, _directory, _module) do
    restart()
    state
  end

  defp serve(state, directory, module) do
    modules = Enum.uniq(state.modules ++ [module])
    python = [path: [directory], modules: modules]
    Application.put_env(:snakepit, :pool_config, pool_size: 1, python: python)
    restart()
    %{state | modules: modules}
  end

  defp evaluate(block, state) do
    {result, warnings} =
      Code.with_diagnostics(fn ->
        block.code
        |> Code.string_to_quoted!(file: state.file, line: block.line)
        |> Code.eval_quoted_with_env(state.binding, state.env)
      end)

    assert [] == for(warning <- warnings, do: "#{place(block, state)}: #{warning.message}")
    result
  end

  defp env(file), do: %{Code.env_for_eval(file: file) | module: nil}

  defp restart do
    :ok = Application.stop(:snakepit)
    :ok = Application.start(:snakepit)
  end

  defp links do
    {:links, links} = Process.info(self(), :links)
    Enum.filter(links, &is_pid/1)
  end

  defp stop(pid) do
    Process.unlink(pid)
    monitor = Process.monitor(pid)
    Process.exit(pid, :shutdown)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 10_000
  end

  defp lines(text),
    do: text |> String.trim() |> String.split("\n") |> Enum.map(&String.trim_trailing/1)

  defp place(block, state), do: "#{state.file}:#{block.line}"
end
