defmodule Bench.Questions.Adapters do
  @moduledoc false
  # The same calls of the same handlers by every adapter of Python, each with one worker.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Facade, Proc, Question, Settings}
  alias Snakepit.Adapters.{GenericPythonMsgpack, GenericPythonV2, GRPCPython}

  @python [path: ["bench"], modules: ["bench_handlers"]]

  @adapters [
    {:native, "gRPC, native server", [adapter: GRPCPython]},
    {:grpcio, "gRPC, server of grpcio", [adapter: GRPCPython, transport: :grpcio]},
    {:msgpack, "MessagePack pipe", [adapter: GenericPythonMsgpack]},
    {:json, "JSON pipe", [adapter: GenericPythonV2]}
  ]

  @doc """
  Runs `fun` while every adapter has a pool.
  """
  @spec with_pools((-> result)) :: result when result: term()
  def with_pools(fun) do
    pools =
      for {name, _title, options} <- @adapters do
        options =
          [name: name, pool_size: 1, max_concurrent_streams: 16, python: @python] ++ options

        {:ok, pool} = Snakepit.Pool.start_link(options)
        pool
      end

    try do
      fun.()
    after
      Enum.each(pools, &Supervisor.stop/1)
    end
  end

  @spec all(Settings.t()) :: [Question.t()]
  def all(settings) do
    latency = figure("p50_us", "p50", "us")
    calls = figure("per_s", "calls", "k/s")

    processor = [
      figure("vm_s", "100,000 calls: VM", "s"),
      figure("worker_s", "worker", "s")
    ]

    [
      question(settings, :call, "How long does an echo of 100 B take?", {100, 1, 4_000}, [
        latency,
        calls
      ]),
      question(
        settings,
        :callers,
        "How many echoes of 100 B do 16 callers get, and what do they cost?",
        {100, 16, 32_000},
        [calls, latency | processor]
      ),
      question(settings, :kb, "How long does an echo of 1 KB take?", {1_000, 1, 4_000}, [latency]),
      question(settings, :kb100, "How long does an echo of 100 KB take?", {100_000, 1, 500}, [
        latency
      ]),
      question(settings, :mb, "How long does an echo of 1 MB take?", {1_000_000, 1, 100}, [
        latency
      ])
    ]
  end

  defp question(settings, key, title, {size, callers, count}, figures) do
    ask = %{size: size, callers: callers}
    count = Settings.part(settings, count)

    %Question{
      key: key,
      title: title,
      note: "The same handler by every adapter, one worker each.",
      figures: figures,
      ratio: {:first_over, "the native server over this"},
      at_most: 5,
      rows:
        for {name, title, _options} <- @adapters do
          row(name, title, fn -> measure(name, ask, count) end)
        end
    }
  end

  defp measure(name, ask, count) do
    [%{os_pid: os_pid}] = Snakepit.list_workers(name)
    before = {processor_s(System.pid()), processor_s(os_pid)}
    figures = Facade.measure(:unary, ask, count, pool: name)

    with {vm_before, worker_before} when is_float(vm_before) <- before do
      scale = 100_000 / Facade.calls(ask, count)

      Map.merge(figures, %{
        "vm_s" => (processor_s(System.pid()) - vm_before) * scale,
        "worker_s" => (processor_s(os_pid) - worker_before) * scale
      })
    else
      _no_proc -> figures
    end
  end

  defp processor_s(os_pid), do: if(Proc.available?(), do: Proc.processor_us(os_pid) / 1.0e6)
end
