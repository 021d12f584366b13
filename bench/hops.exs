# Where one call is, and for how long: the median of each of its steps. `mix run bench/hops.exs [CALLS]`
#
# Both languages read the same clock, CLOCK_MONOTONIC. The steps are those of `Snakepit.execute`, taken
# one by one.

Logger.configure(level: :warning)

alias Snakepit.GRPC.Native
alias Snakepit.Pool.{Lease, Shared}
alias Snakepit.Request

count = System.argv() |> List.first("20000") |> String.to_integer()
python = [path: ["bench"], modules: ["bench_handlers"]]
{:ok, _} = Snakepit.Pool.start_link(pool_size: 1, python: python)
{:ok, pool} = Shared.fetch(:default)
now = fn -> :os.perf_counter(:nanosecond) end
args = %{data: :binary.copy(<<0xFF>>, 100)}

hop = fn ->
  began = now.()
  {:ok, request} = Request.new("bench_clock", args, [])
  {:ok, lease} = Lease.checkout(pool, :any, request)
  ref = make_ref()
  call = {"bench_clock", nil, args, 30_000, request.request_id, %{}, :msgpack}
  prepared = now.()

  # A lone caller has its answer when the call returns; it is told of one that comes later.
  answer =
    case Native.call(lease.channel.native, ref, call) do
      {:ok, _map} = answer ->
        answer

      handle ->
        receive do
          {^ref, :ready} -> Native.answer(handle)
        end
    end

  {:ok, %{"entered" => entered}} = answer
  answered = now.()
  Lease.release(lease)
  [prepared - began, entered - prepared, answered - entered, now.() - answered]
end

whole = fn ->
  began = now.()
  {:ok, _} = Snakepit.execute("bench_clock", args)
  now.() - began
end

microseconds = fn ns ->
  (ns / 1000) |> :erlang.float_to_binary(decimals: 2) |> String.pad_leading(7)
end

median = fn figures -> figures |> Enum.sort() |> Enum.at(div(length(figures), 2)) end
for _ <- 1..1_000, do: hop.()
hops = for _ <- 1..count, do: hop.()
executes = for _ <- 1..count, do: whole.()

steps = [
  "request and lease, in the caller",
  "into the NIF: arguments packed, lane, socket, handler's thread",
  "handler, result packed, socket, lane, answer onto the caller's heap",
  "lease given back"
]

IO.puts("Medians of #{count} calls with 100 bytes, in microseconds\n")
medians = hops |> Enum.zip_with(& &1) |> Enum.map(median)

for {step, ns} <- Enum.zip(steps, medians) do
  IO.puts("#{microseconds.(ns)}  #{step}")
end

IO.puts("\n#{microseconds.(Enum.sum(medians))}  all of them")
IO.puts("#{microseconds.(median.(executes))}  Snakepit.execute, with its events and metrics")
