# Measures Snakepit beside a bare Rust client of the same worker and beside Python's own grpcio.
# See README.md here for what the rows mean. BENCH_QUICK=1 asks less.

Logger.configure(level: :warning)

for file <- ~w(questions summary machine facade bare grpcio rounds expectations pools report),
    do: Code.require_file("support/#{file}.exs", __DIR__)

alias Bench.{Bare, Expectations, Facade, Grpcio, Machine, Pools, Questions, Report, Rounds}

quick? = System.get_env("BENCH_QUICK") not in [nil, "", "0"]
{rounds, tries, share} = if quick?, do: {3, 1, 0.4}, else: {9, 2, 1.0}

python = Path.expand(".venv/bin/python")
machine = Machine.describe(python)
Report.machine(machine)

bare = Bare.build!()
questions = Questions.all(share)
directory = Path.join(System.tmp_dir!(), "snakepit-bench-#{System.pid()}")
File.mkdir_p!(directory)
System.at_exit(fn _status -> File.rm_rf!(directory) end)
servers = Grpcio.start!(python, directory)
chosen = Grpcio.choose(questions, servers, python, tries)

# As many slots as there are callers: waiting for a slot is a row of its own.
{results, pool} =
  Pools.with_pool([pool_size: 1, max_concurrent_streams: 16], fn ->
    [%{address: address, os_pid: os_pid}] = Snakepit.list_workers()

    systems = [
      snakepit: &Facade.measure/1,
      bare: &Bare.measure(bare, address, &1),
      lane: &Bare.measure(bare, address, &1, :lane),
      grpcio: &Grpcio.ask(servers, python, chosen[&1.key], &1)
    ]

    results = Rounds.run(questions, systems, rounds)
    {results, %{end_mib: Machine.rss_mib(os_pid), lease_ns: Pools.lease_ns(rounds)}}
  end)

Grpcio.stop(servers)

callers = Enum.find(questions, &(&1.key == :callers))
pool = Map.merge(pool, Pools.start_and_idle(rounds))
pool = Map.put(pool, :queued_per_s, Pools.queued(callers, rounds))
expectations = Expectations.check(results)

Report.compared(results)
Report.flavours(chosen)
Report.pool(pool)
Report.expectations(expectations)

File.mkdir_p!("_build/bench")

File.write!(
  "_build/bench/results.json",
  JSON.encode!(%{
    machine: Map.new(machine),
    rounds: rounds,
    results: results,
    grpcio: Map.new(chosen, fn {question, {server, client}} -> {question, [server, client]} end),
    pool: pool,
    expectations: expectations
  })
)

IO.puts("\nEvery figure of the #{rounds} rounds: _build/bench/results.json")
