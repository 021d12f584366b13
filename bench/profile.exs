# Work for scripts/profile to look at: `mix run bench/profile.exs WORK SECONDS FILE`. Once it is under
# way, the process numbers of the VM and of its worker are in FILE.

Logger.configure(level: :warning)
[work, seconds, file] = System.argv()

python = [path: ["bench"], modules: ["bench_handlers"]]
{:ok, _} = Snakepit.Pool.start_link(pool_size: 1, max_concurrent_streams: 16, python: python)
[%{os_pid: os_pid}] = Snakepit.list_workers()

call = fn -> {:ok, _} = Snakepit.execute("bench_echo", %{data: :binary.copy(<<0xFF>>, 100)}) end

stream = fn size, count ->
  args = %{count: count, size: size}
  :ok = Snakepit.execute_stream("bench_stream", args, fn _chunk -> :ok end)
end

{callers, job} =
  case work do
    "one-call" -> {1, call}
    "calls" -> {16, call}
    "chunks" -> {1, fn -> stream.(1_000, 100_000) end}
    "large" -> {1, fn -> stream.(1_000_000, 1_000) end}
  end

stop = System.monotonic_time(:millisecond) + 1000 * String.to_integer(seconds)

repeat = fn repeat ->
  job.()
  if System.monotonic_time(:millisecond) < stop, do: repeat.(repeat)
end

tasks = for _ <- 1..callers, do: Task.async(fn -> repeat.(repeat) end)
File.write!(file, "#{System.pid()} #{os_pid}\n")
Task.await_many(tasks, :infinity)
