defmodule Snakepit.Metrics.StoreTest do
  # There is one store for all tests.
  use ExUnit.Case, async: false

  alias Snakepit.Metrics.Store

  test "what is counted after its process was replaced is seen" do
    observe = fn -> Store.observe_command(:call_duration, :replaced, "x", 1_000, :ok) end
    observe.()
    :ok = Supervisor.terminate_child(Snakepit.Supervisor, Store)
    # Nobody counts, and nobody is disturbed.
    assert observe.() == :ok
    {:ok, _pid} = Supervisor.restart_child(Snakepit.Supervisor, Store)
    assert observe.() == :ok

    assert [%{sum: 1_000, outcomes: [ok: 1]}] =
             for({{:replaced, "x"}, histogram} <- Store.histogram(:call_duration), do: histogram)
  end
end
