# Milliseconds from the moment in which a generator makes a chunk until the callback has it, at a
# thousand chunks a second.
#
#     MIX_ENV=test mix run bench/streams/timing.exs

Code.require_file("support.exs", __DIR__)

alias Bench.Streams
alias Snakepit.Test.StreamBeacon, as: Beacon
import Snakepit.Test.StreamHelper, only: [percentile: 2]

Streams.with_pool(fn pool ->
  for command <- ["paced", "paced_async"] do
    test = self()

    note = fn chunk ->
      if chunk["at"], do: send(test, {:ms, (Beacon.now() - chunk["at"]) / 1_000_000})
    end

    :ok = Snakepit.execute_stream(command, %{n: 10_000, interval: 1}, note, pool: pool)
    figures = for _ <- 1..10_000, do: receive(do: ({:ms, ms} -> ms))

    Streams.row(command,
      median: "#{Float.round(percentile(figures, 0.5), 3)} ms",
      p99: "#{Float.round(percentile(figures, 0.99), 3)} ms",
      worst: Streams.ms(Enum.max(figures))
    )
  end
end)
