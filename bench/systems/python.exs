defmodule Bench.Python do
  @moduledoc false
  # A Python loop that calls the handlers, with no transport at all.

  @program "bench/handler_loop.py"

  @doc """
  Of the environment that `make setup` makes.
  """
  @spec executable() :: Path.t()
  def executable, do: Path.expand(".venv/bin/python")

  @spec loop(:unary | :stream, map(), pos_integer()) :: map()
  def loop(mode, ask, count) do
    args = Enum.map([@program, mode, count, ask.size], &to_string/1)
    {output, 0} = System.cmd(executable(), args)
    JSON.decode!(output)
  end
end
