# What the scripts beside this file share: the parts in support, the systems they ask, the questions.
Logger.configure(level: :warning)

{:ok, _modules, _warnings} =
  ["support", "systems", "questions"]
  |> Enum.flat_map(&Path.wildcard(Path.join([__DIR__, &1, "*.exs"])))
  |> Kernel.ParallelCompiler.compile(return_diagnostics: true)
