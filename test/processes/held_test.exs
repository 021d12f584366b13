# What Snakepit.OrphansTest runs in a `mix test` of its own, and interrupts.
if System.get_env("SNAKEPIT_HELD_TEST") do
  defmodule Snakepit.HeldTest do
    use ExUnit.Case, async: true

    import Snakepit.Test.PoolHelper

    @moduletag timeout: :infinity

    test "goes on until somebody interrupts it" do
      pool = start_pool()
      Snakepit.Test.OtherVM.report(pool)
      Process.sleep(:infinity)
    end
  end
end
