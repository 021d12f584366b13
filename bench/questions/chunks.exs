defmodule Bench.Questions.Chunks do
  @moduledoc false
  # One stream: how fast its chunks come, and how soon the first.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Asks, Context, Python, Question, Rust, Settings}

  @ratio {:first_over, "Snakepit over this"}
  @handed_over "One stream into a callback, each chunk a map with one binary."

  @spec all(Context.t()) :: [Question.t()]
  def all(context) do
    [
      small(:chunks_10b, "10 bytes", context),
      small(:chunks_1kb, "1 KB", context),
      large(:chunks_100kb, "100 KB", [], context),
      large(:chunks_1mb, "1 MB", floors(context), context),
      first(context)
    ]
  end

  defp small(key, size, context) do
    ask = Asks.fetch(key)
    count = Asks.fast(ask, context)

    %Question{
      key: key,
      title: "How many chunks of #{size} come in a second?",
      note: "#{@handed_over} The Rust client and grpcio decode no values. More is better.",
      figures: [figure("per_s", "chunks", "k/s")],
      ratio: @ratio,
      rows:
        [Asks.snakepit(ask, context), Asks.rust(ask, context)] ++
          Asks.grpcio(ask, context) ++
          [row(:handler, "the handler alone", fn -> Python.loop(:stream, ask, count) end)]
    }
  end

  defp large(key, size, floors, context) do
    ask = Asks.fetch(key)

    %Question{
      key: key,
      title: "How much comes in a second in chunks of #{size}?",
      note: "#{@handed_over} More is better.",
      figures: [figure("mb_per_s", "payload", "GB/s")],
      ratio: @ratio,
      rows:
        [Asks.snakepit(ask, context), Asks.rust(ask, context)] ++
          Asks.grpcio(ask, context) ++ floors
    }
  end

  defp floors(%Context{rust: rust, settings: settings}) do
    floor = fn key, title, way, block, total ->
      total = Settings.part(settings, total, 4 * block)
      row(key, "floor: " <> title, fn -> Rust.floor(rust, way, block, total) end)
    end

    [
      floor.(:socket, "a unix socket, blocks of 1 MB", :socket, 1_000_000, 4_000_000_000),
      floor.(:socket_64k, "a unix socket, blocks of 64 KiB", :socket, 65_536, 4_000_000_000),
      floor.(:memcpy, "memcpy, 1 MB in the cache", :memcpy, 1_000_000, 10_000_000_000),
      floor.(:memcpy_100mb, "memcpy, 100 MB", :memcpy, 100_000_000, 4_000_000_000)
    ]
  end

  defp first(context) do
    ask = Asks.fetch(:first)

    %Question{
      key: :first,
      title: "How soon is the first chunk of a stream there?",
      note: "From the call until a chunk of 10 bytes is there. Less is better.",
      figures: [figure("p50_us", "p50", "us"), figure("p99_us", "p99", "us")],
      ratio: @ratio,
      rows: [Asks.snakepit(ask, context), Asks.rust(ask, context)] ++ Asks.grpcio(ask, context)
    }
  end
end
