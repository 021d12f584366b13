# Answers the questions of README.md here: Snakepit beside a bare Rust client, Python's own grpcio and
# what the machine itself can do. BENCH=quick asks less, BENCH=smoke next to nothing.

Code.require_file("support.exs", __DIR__)

alias Bench.{Context, Machine, Questions, Report, Results, Rounds, Settings, Targets}

# With compiled modules beside the sources, as everywhere.
System.delete_env("PYTHONDONTWRITEBYTECODE")

settings = Settings.current()
machine = Machine.describe()
Report.machine(machine)

Context.with_context(settings, fn context ->
  questions =
    Enum.flat_map(
      [
        Questions.Others,
        Questions.Calls,
        Questions.Chunks,
        Questions.ManyStreams,
        Questions.Memory,
        Questions.Start,
        Questions.Idle,
        Questions.Lease
      ],
      & &1.all(context)
    )

  results = Rounds.run(questions, settings)
  targets = Targets.check(results, context)

  questions |> Enum.with_index(1) |> Enum.each(&Report.question(&1, results))
  Report.targets(targets)

  Results.write!("results", settings, questions, results, %{
    machine: Map.new(machine),
    targets: targets
  })
end)
