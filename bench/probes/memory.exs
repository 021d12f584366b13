# The peak of memory of one large call, as multiples of its payload. `memory.exs argument|result BYTES`,
# started by Bench.FreshVM.

Code.require_file("../support/proc.exs", __DIR__)
alias Bench.Proc

[direction, bytes] = System.argv()
bytes = String.to_integer(bytes)
{:ok, _apps} = Application.ensure_all_started(:snakepit)
Logger.configure(level: :warning)

{:ok, _pool} =
  Snakepit.Pool.start_link(
    pool_size: 1,
    python: [path: ["bench"], modules: ["bench_handlers"]]
  )

call =
  case direction do
    "argument" ->
      fn bytes ->
        data = :binary.copy(<<0xFF>>, bytes)
        {:ok, %{"size" => ^bytes}} = Snakepit.execute("bench_size", %{data: data})
      end

    "result" ->
      fn bytes ->
        {:ok, %{"data" => data}} = Snakepit.execute("bench_blob", %{size: bytes})
        ^bytes = byte_size(data)
      end
  end

# In a process that ends, as otherwise its garbage would stay.
alone = fn fun -> fun |> Task.async() |> Task.await(:infinity) end
for _ <- 1..20, do: alone.(fn -> call.(100_000) end)

[%{os_pid: worker}] = Snakepit.list_workers()
processes = [vm: System.pid(), worker: worker]
for pid <- Process.list(), do: :erlang.garbage_collect(pid)
before = for {name, os_pid} <- processes, do: {name, Proc.resident(os_pid)}
for {_name, os_pid} <- processes, do: Proc.forget_peak(os_pid)

{us, _result} = :timer.tc(fn -> alone.(fn -> call.(bytes) end) end)

[vm, worker] =
  for {name, os_pid} <- processes, do: (Proc.peak(os_pid) - before[name]) / bytes

IO.puts(JSON.encode!(%{both: vm + worker, vm: vm, worker: worker, ms: us / 1_000}))
