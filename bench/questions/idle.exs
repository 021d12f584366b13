defmodule Bench.Questions.Idle do
  @moduledoc false
  # What is used while nothing is asked.

  import Bench.Question, only: [figure: 3, row: 2]

  alias Bench.{Context, FreshVM, Proc, Program, Question}

  @spec all(Context.t()) :: [Question.t()]
  def all(%Context{settings: %{seconds: seconds}}) do
    [
      %Question{
        key: :idle,
        title: "What does a pool cost while nobody calls?",
        note: """
        A new VM, and a pool of 2 without modules of the user, looked at from outside for #{seconds} s. A
        tick is 10 ms of processor time; the microseconds are what the system's scheduler has counted.\
        """,
        at_most: 3,
        figures: [
          figure("ticks", "processor", "ticks"),
          figure("us_per_s", "processor", "us/s"),
          figure("waits_per_s", "waits", "1/s"),
          figure("resident_mb", "resident", "MB")
        ],
        together: fn -> if Proc.available?(), do: measure(seconds) end,
        rows: [
          row(:vm, "the VM with a pool of 2"),
          row(:alone, "the VM before it has one"),
          row(:worker, "a worker, the mean of both")
        ]
      }
    ]
  end

  defp measure(seconds) do
    probe = FreshVM.start("idle")
    vm = JSON.decode!(Program.line(probe))
    alone = observe([alone: vm], seconds)
    workers = Program.ask(probe, "start")
    with_pool = observe([vm: vm, worker: workers], seconds)
    Program.stop(probe)
    Map.merge(alone, with_pool)
  end

  defp observe(groups, seconds) do
    # What has just been started still has something to do.
    pause(min(1, seconds))
    before = for {_name, os_pids} <- groups, do: Enum.map(os_pids, &used/1)
    pause(seconds)

    for {{name, os_pids}, before} <- Enum.zip(groups, before), into: %{} do
      grown = Enum.zip_with(Enum.map(os_pids, &used/1), before, &grown(&1, &2, seconds))
      resident = for os_pid <- os_pids, do: %{"resident_mb" => Proc.resident(os_pid) / 1.0e6}
      {name, mean(Enum.zip_with(grown, resident, &Map.merge/2))}
    end
  end

  defp used(os_pid), do: {Proc.ticks(os_pid), Proc.processor_us(os_pid), Proc.waits(os_pid)}

  defp grown({ticks, us, waits}, {ticks_before, us_before, waits_before}, seconds) do
    %{
      "ticks" => ticks - ticks_before,
      "us_per_s" => (us - us_before) / seconds,
      "waits_per_s" => (waits - waits_before) / seconds
    }
  end

  defp mean([first | _] = processes) do
    Map.new(first, fn {figure, _value} ->
      {figure, Enum.sum_by(processes, & &1[figure]) / length(processes)}
    end)
  end

  defp pause(seconds) do
    receive do
    after
      round(seconds * 1_000) -> :ok
    end
  end
end
