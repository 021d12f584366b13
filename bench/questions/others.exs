defmodule Bench.Questions.Others do
  @moduledoc false
  # What else the machine does, and what state it is in, looked at in every round while nothing is asked.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Context, Proc, Question, Rust}

  # From here on even ratios are worth little.
  @much 15

  @spec all(Context.t()) :: [Question.t()]
  def all(%Context{settings: settings, rust: rust}) do
    seconds = min(settings.seconds, 0.3)

    [
      %Question{
        key: :others,
        title: "How busy is the machine with other things?",
        note: """
        The time of its processors that is used while nothing is measured, also by other machines that it
        shares them with. Above #{@much} % measure again when it is less. And how long a change in memory
        takes from one processor to another, on which calls depend much.\
        """,
        figures: [
          figure("percent", "used by others", "%"),
          figure("one_way_ns", "between processors", "ns")
        ],
        rows: [
          row(:others, "this machine", fn ->
            if Proc.available?(), do: Map.merge(measure(seconds), between_processors(rust))
          end)
        ]
      }
    ]
  end

  defp between_processors(rust) do
    if System.schedulers_online() > 1, do: Rust.cores(rust), else: %{}
  end

  defp measure(seconds) do
    {busy_before, all_before} = Proc.machine()

    receive do
    after
      round(seconds * 1_000) -> :ok
    end

    {busy, all} = Proc.machine()
    %{"percent" => 100 * (busy - busy_before) / max(all - all_before, 1)}
  end
end
