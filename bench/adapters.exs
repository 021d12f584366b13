# Measures the adapters beside each other, which run the same Python handlers: gRPC with the native
# and with the portable server, and MessagePack and JSON through pipes. BENCH=quick asks less.

Code.require_file("support.exs", __DIR__)

alias Bench.{Machine, Questions, Report, Results, Rounds, Settings}

settings = Settings.current()
machine = Machine.describe()
Report.machine(machine)

Questions.Adapters.with_pools(fn ->
  questions = Questions.Adapters.all(settings)
  results = Rounds.run(questions, settings)
  questions |> Enum.with_index(1) |> Enum.each(&Report.question(&1, results))
  Results.write!("adapters", settings, questions, results, %{machine: Map.new(machine)})
end)
