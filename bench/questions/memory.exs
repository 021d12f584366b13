defmodule Bench.Questions.Memory do
  @moduledoc false
  # What a large payload takes, and whether the VM copies it.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Context, FreshVM, Proc, Question}

  @chunks 20
  @chunk_size 1_000_000

  @spec all(Context.t()) :: [Question.t()]
  def all(context), do: [calls(context), chunks()]

  defp calls(%Context{settings: settings}) do
    measure = fn direction ->
      fn -> if Proc.available?(), do: FreshVM.run("memory", [direction, settings.payload]) end
    end

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
  end

  defp chunks do
    %Question{
      key: :copied,
      title: "Is a chunk of 1 MB copied into the memory of the VM?",
      note: """
      What the VM has allocated for binaries while #{@chunks} chunks are held, over their size. 0: each of
      them is the memory into which it was received; 1: a copy of that.\
      """,
      figures: [figure("copies", "copied", "payloads")],
      rows: [row(:snakepit, "Snakepit", &held_chunks/0)]
    }
  end

  defp held_chunks do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    before = :erlang.memory(:binary)
    args = %{count: @chunks, size: @chunk_size}
    chunks = "bench_stream" |> Snakepit.stream!(args, pool: :bench) |> Enum.to_list()
    :erlang.garbage_collect()
    allocated = :erlang.memory(:binary) - before
    @chunks = Enum.count(chunks, &match?(%{"data" => <<_::binary-size(@chunk_size)>>}, &1))
    %{"copies" => max(allocated, 0) / (@chunks * @chunk_size)}
  end
end
