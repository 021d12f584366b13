# Calls and streams through the whole VM, which runs under callgrind: it counts what the NIF does.
defmodule Guard.Paths do
  @moduledoc false

  @compile {:no_warn_undefined, [Snakepit, Snakepit.Pool]}

  @python [path: ["bench"], modules: ["bench_handlers"]]
  @rounds 3

  def run do
    {:ok, _started} = Application.ensure_all_started(:snakepit)
    options = [python: @python, pool_size: 1, max_concurrent_streams: 16]
    {:ok, pool} = Snakepit.Pool.start_link([worker_init_timeout: 120_000] ++ options)

    count("call of 10 B", 150, fn times -> calls(times, 10) end)
    count("call of 1 MiB", 10, fn times -> calls(times, 1_048_576) end)
    count("result of 100 rows", 20, &tables/1)
    count("chunk of 1 KiB", 1_500, fn times -> chunks(times, 1_024) end)
    count("chunk of 1 MiB", 40, fn times -> chunks(times, 1_048_576) end)
    Supervisor.stop(pool)
  end

  defp count(name, times, run) do
    run.(times)

    for _round <- 1..@rounds do
      mark()
      run.(times)
      mark()
      IO.puts("#{name}\t#{times}")
    end
  end

  # Nobody else makes links: callgrind notes its counts where the C library is asked for one.
  defp mark, do: {:error, _reason} = File.ln_s("", "")

  defp calls(times, size) do
    args = %{data: :binary.copy(<<0xFF>>, size)}
    for _ <- 1..times, do: {:ok, _result} = Snakepit.execute("bench_echo", args)
  end

  defp tables(times),
    do: for(_ <- 1..times, do: {:ok, _rows} = Snakepit.execute("bench_table", %{n: 100}))

  defp chunks(times, size) do
    :ok = Snakepit.execute_stream("bench_stream", %{count: times, size: size}, fn _ -> :ok end)
  end
end
