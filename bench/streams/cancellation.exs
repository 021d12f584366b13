# Milliseconds from the moment in which a consumer halts until Python code knows: its `finally` has
# run, by the clock of the Python process.
#
#     MIX_ENV=test mix run bench/streams/cancellation.exs [runs]

Code.require_file("support.exs", __DIR__)

alias Bench.Streams
alias Snakepit.Test.StreamBeacon, as: Beacon
import Snakepit.Test.StreamHelper, only: [await_free: 1, percentile: 2]

runs = String.to_integer(List.first(System.argv(), "200"))

handlers = [
  {"a generator that yields", "yields"},
  {"an async generator that yields", "yields_async"},
  {"a handler busy in Python code", "busy"},
  {"a handler that naps for 5 ms at a time", "naps"},
  {"an async handler that awaits", "awaits"},
  {"a handler that waits for input", "swallows"},
  {"an async handler that waits for input", "swallows_async"}
]

Streams.with_pool(fn pool ->
  for {label, command} <- handlers do
    beacon = Beacon.open()
    args = %{beacon: beacon.port}

    figures =
      for _run <- 1..runs do
        halt = fn _chunk ->
          send(self(), {:since, Beacon.now()})
          :halt
        end

        if command =~ "swallows" do
          input = Stream.repeatedly(fn -> %{n: 1} end)
          :ok = Snakepit.execute_bidi_stream(command, args, input, halt, pool: pool)
        else
          :ok = Snakepit.execute_stream(command, args, halt, pool: pool)
        end

        since =
          receive do
            {:since, since} -> since
          end

        elapsed = beacon |> Beacon.await("ended") |> Beacon.elapsed(since)
        await_free(pool)
        elapsed
      end

    Streams.row(label,
      median: Streams.ms(percentile(figures, 0.5)),
      p99: Streams.ms(percentile(figures, 0.99)),
      worst: Streams.ms(Enum.max(figures))
    )
  end
end)
