# Evaluates the Elixir cells of notebooks one after the other, as Livebook does: what a cell binds, imports
# and defines is there in the next cell of its notebook, and __DIR__ is where the notebook is. In a VM of
# its own, as their first cells call Mix.install, all with the same dependencies.
#
#     elixir test/support/livebook.exs livebooks/*.livemd

cells = fn text ->
  for [{start, _}, {offset, length}] <-
        Regex.scan(~r/^```elixir\n(.*?)^```$/ms, text, return: :index) do
    line = text |> binary_part(0, start) |> String.split("\n") |> length()
    {line + 1, binary_part(text, offset, length)}
  end
end

for notebook <- System.argv() do
  file = Path.expand(notebook)
  cells = cells.(File.read!(file))

  Enum.reduce(cells, {[], Code.env_for_eval(file: file)}, fn {line, code}, {binding, env} ->
    IO.puts("--- #{notebook}:#{line}")

    {result, binding, env} =
      code
      |> Code.string_to_quoted!(file: file, line: line)
      |> Code.eval_quoted_with_env(binding, env)

    IO.inspect(result)
    {binding, env}
  end)

  IO.puts("--- #{notebook}: #{length(cells)} cells")
end
