defmodule Bench.Pools do
  @moduledoc false
  # Pools with the handlers that are measured.

  @python [path: ["bench"], modules: ["bench_handlers"]]

  @doc """
  Runs `fun` while there is a pool.
  """
  @spec with_pool(keyword(), (-> result)) :: result when result: term()
  def with_pool(options, fun) do
    {:ok, pool} = [python: @python] |> Keyword.merge(options) |> Snakepit.Pool.start_link()

    try do
      fun.()
    after
      Supervisor.stop(pool)
    end
  end
end
