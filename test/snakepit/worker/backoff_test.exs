defmodule Snakepit.Worker.BackoffTest do
  use ExUnit.Case, async: true

  alias Snakepit.Worker.Backoff

  test "the first start after a crash is at once" do
    assert Backoff.delay(0) == 0
  end

  test "pauses grow up to a limit, each a little different" do
    assert Backoff.delay(1) in 160..200
    assert Backoff.delay(4) in 1_280..1_600
    assert Backoff.delay(1_000) in 12_000..15_000
  end

  test "the circuit opens when failures follow each other" do
    refute Backoff.open?(4)
    assert Backoff.open?(5)
  end

  test "a process that ran for long makes earlier failures forgotten" do
    assert Backoff.after_end(5, 60_000) == 0
    assert Backoff.after_end(5, 100) == 5
  end
end
