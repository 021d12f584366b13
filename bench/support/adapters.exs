defmodule Bench.Adapters do
  @moduledoc false
  # The same calls of the same handlers by every adapter of Python, each with one worker.

  alias Bench.Facade
  alias Snakepit.Adapters.{GenericPythonMsgpack, GenericPythonV2, GRPCPython}

  @python [path: ["bench"], modules: ["bench_handlers"]]

  # In hundredths of a second, as the system counts them.
  @ticks_per_second 100

  @systems [
    native: [adapter: GRPCPython],
    grpcio: [adapter: GRPCPython, transport: :grpcio],
    msgpack: [adapter: GenericPythonMsgpack],
    json: [adapter: GenericPythonV2]
  ]

  @titles %{
    native: "native",
    grpcio: "grpcio transport",
    msgpack: "MessagePack pipe",
    json: "JSON pipe"
  }

  def titles, do: @titles

  @doc """
  What is asked, scaled by `share`.
  """
  def questions(share) do
    count = fn n -> max(round(n * share), 200) end

    [
      %{key: :call, mode: :unary, size: 100, callers: 1, fast: count.(4_000)},
      %{key: :callers, mode: :unary, size: 100, callers: 16, fast: count.(32_000)},
      %{key: :kb, mode: :unary, size: 1_000, callers: 1, fast: count.(4_000)},
      %{key: :kb100, mode: :unary, size: 100_000, callers: 1, fast: count.(500)},
      %{key: :mb, mode: :unary, size: 1_000_000, callers: 1, fast: count.(200)}
    ]
  end

  def rows do
    [
      %{title: "call of 100 B, p50", question: :call, figure: "p50_us", unit: "us"},
      %{title: "calls, 1 caller", question: :call, figure: "per_s", unit: "k/s"},
      %{title: "calls, 16 callers", question: :callers, figure: "per_s", unit: "k/s"},
      %{title: "echo of 1 KB, p50", question: :kb, figure: "p50_us", unit: "us"},
      %{title: "echo of 100 KB, p50", question: :kb100, figure: "p50_us", unit: "us"},
      %{title: "echo of 1 MB, p50", question: :mb, figure: "p50_us", unit: "us"},
      %{title: "VM, 100,000 calls", question: :callers, figure: "vm_s", unit: "s"},
      %{title: "worker, 100,000 calls", question: :callers, figure: "worker_s", unit: "s"}
    ]
  end

  @doc """
  Runs `fun` with a way to measure each system, while they all have a pool.
  """
  def with_pools(fun) do
    pools =
      for {name, options} <- @systems do
        options =
          [name: name, pool_size: 1, max_concurrent_streams: 16, python: @python] ++ options

        {:ok, pool} = Snakepit.Pool.start_link(options)
        pool
      end

    try do
      fun.(for {name, _options} <- @systems, do: {name, &measure(name, &1)})
    after
      Enum.each(pools, &Supervisor.stop/1)
    end
  end

  defp measure(name, question) do
    [%{os_pid: os_pid}] = Snakepit.list_workers(name)
    before = {cpu(System.pid()), cpu(os_pid)}
    figures = Facade.measure(question, pool: name)
    {vm, worker} = {cpu(System.pid()), cpu(os_pid)}
    {vm_before, worker_before} = before
    calls = question.fast + 200 * question.callers

    Map.merge(figures, %{
      "vm_s" => (vm - vm_before) * 100_000 / calls,
      "worker_s" => (worker - worker_before) * 100_000 / calls
    })
  end

  # Seconds of the processor that a process has used.
  defp cpu(os_pid) do
    fields =
      "/proc/#{os_pid}/stat"
      |> File.read!()
      |> String.split(") ")
      |> List.last()
      |> String.split()

    ticks = String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))
    ticks / @ticks_per_second
  end
end
