defmodule Bench.Questions.Memory do
  @moduledoc false
  # What a large payload takes.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Context, FreshVM, Proc, Question}

  @spec all(Context.t()) :: [Question.t()]
  def all(%Context{settings: settings}) do
    measure = fn direction ->
      fn -> if Proc.available?(), do: FreshVM.run("memory", [direction, settings.payload]) end
    end

    [
      %Question{
        key: :memory,
        title: "How much memory does a call of 100 MB take?",
        note: """
        The highest resident memory of the VM and of the worker above what they had before there was
        any payload, as multiples of it. Both are new for each round. One copy at each end is 2.\
        """,
        at_most: 5,
        figures: [
          figure("both", "together", "payloads"),
          figure("vm", "VM", "payloads"),
          figure("worker", "worker", "payloads"),
          figure("ms", "call", "ms")
        ],
        rows: [
          row(:argument, "as an argument", measure.("argument")),
          row(:result, "as a result", measure.("result"))
        ]
      }
    ]
  end
end
