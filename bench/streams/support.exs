defmodule Bench.Streams do
  @moduledoc """
  What the scripts beside this file share. They use the handlers and helpers of the tests, so:
  `MIX_ENV=test mix run bench/streams/memory.exs`.
  """

  @python [path: ["test/support/python"], modules: ["stream_handlers"]]

  def with_pool(options \\ [], fun) do
    Logger.configure(level: :warning)
    options = Keyword.merge([name: :bench, pool_size: 1, python: @python], options)
    {:ok, pool} = Snakepit.Pool.start_link(options)
    fun.(:bench)
    Supervisor.stop(pool)
  end

  def row(label, figures) do
    text = Enum.map_join(figures, "   ", fn {name, figure} -> "#{name} #{figure}" end)
    IO.puts(String.pad_trailing(label, 52) <> text)
  end

  def mib(bytes), do: "#{Float.round(bytes / 1_048_576, 1)} MiB"
  def ms(figure), do: "#{:erlang.float_to_binary(figure / 1, decimals: 1)} ms"

  @doc """
  Nothing but the passing of time.
  """
  def pause(ms) do
    receive do
    after
      ms -> :ok
    end
  end
end
