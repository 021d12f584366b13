defmodule Snakepit.Test.Await do
  @moduledoc """
  Waits for what sends no message: looks again and again until it holds, and fails when it does not.
  """

  import ExUnit.Assertions

  alias Snakepit.Pool.Shared

  @doc """
  Waits until a condition holds.
  """
  def eventually(condition, patience \\ 10_000),
    do: look(condition, System.monotonic_time(:millisecond) + patience)

  defp look(condition, deadline) do
    unless condition.() do
      if System.monotonic_time(:millisecond) > deadline, do: flunk("the condition never held")

      receive do
      after
        1 -> look(condition, deadline)
      end
    end

    :ok
  end

  @doc """
  No call runs any more.
  """
  def await_free(pool), do: await_busy(pool, 0)

  @doc """
  So many calls run.
  """
  def await_busy(pool, count \\ 1),
    do: eventually(fn -> Snakepit.get_stats(pool).busy_slots == count end)

  @doc """
  So many callers wait for a slot.
  """
  def await_queued(pool, count \\ 1),
    do: eventually(fn -> Snakepit.get_stats(pool).queued == count end)

  @doc """
  The one worker of a pool is another process, and ready.
  """
  def await_replaced(pool, os_pid) do
    eventually(fn ->
      match?([%{state: :ready, os_pid: new}] when new != os_pid, Snakepit.list_workers(pool))
    end)
  end

  @doc """
  The pool was started again.
  """
  def await_generation(pool, old),
    do:
      eventually(fn -> match?({:ok, %{generation: new}} when new != old, Shared.fetch(pool)) end)
end
