# Measures the adapters beside each other, which run the same Python handlers: gRPC with the native
# and with the portable server, and MessagePack and JSON through pipes. BENCH_QUICK=1 asks less.

Logger.configure(level: :warning)

for file <- ~w(summary machine facade rounds report adapters),
    do: Code.require_file("support/#{file}.exs", __DIR__)

alias Bench.{Adapters, Machine, Report, Rounds}

quick? = System.get_env("BENCH_QUICK") not in [nil, "", "0"]
{rounds, share} = if quick?, do: {3, 0.25}, else: {7, 1.0}

Report.machine(Machine.describe(Path.expand(".venv/bin/python")))

results = Adapters.with_pools(&Rounds.run(Adapters.questions(share), &1, rounds))

Report.compared(results, Adapters.rows(), :native, [:grpcio, :msgpack, :json], Adapters.titles())

File.mkdir_p!("_build/bench")
File.write!("_build/bench/adapters.json", JSON.encode!(%{rounds: rounds, results: results}))
