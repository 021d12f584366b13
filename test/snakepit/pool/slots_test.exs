defmodule Snakepit.Pool.SlotsTest do
  use ExUnit.Case, async: true

  alias Snakepit.Pool.Slots

  setup do
    slots = Slots.new(3, 2)
    for worker <- 0..2, do: Slots.put_state(slots, worker, :ready)
    %{slots: slots}
  end

  test "every slot is given once, then there is none", %{slots: slots} do
    taken =
      for token <- 1..6 do
        assert {:ok, slot} = Slots.take(slots, :any, token, 0)
        slot
      end

    assert Enum.sort(taken) == Enum.to_list(1..6)
    assert Slots.take(slots, :any, 7, 0) == :full
    assert Slots.busy(slots) == 6
  end

  test "the least loaded worker is taken", %{slots: slots} do
    workers =
      for token <- 1..3 do
        {:ok, slot} = Slots.take(slots, :any, token, 1)
        Slots.worker(slots, slot)
      end

    assert Enum.sort(workers) == [0, 1, 2]
  end

  test "a worker that is not ready is left out", %{slots: slots} do
    Slots.put_state(slots, 0, :starting)
    Slots.put_state(slots, 2, :failing)
    assert {:ok, slot} = Slots.take(slots, :any, 1, 0)
    assert Slots.worker(slots, slot) == 1
    assert Slots.take(slots, 0, 1, 0) == :full
  end

  test "a slot of one worker can be asked for", %{slots: slots} do
    for token <- 1..2 do
      assert {:ok, slot} = Slots.take(slots, 2, token, 0)
      assert Slots.worker(slots, slot) == 2
    end

    assert Slots.take(slots, 2, 3, 0) == :full
  end

  test "nobody overtakes those that wait", %{slots: slots} do
    Slots.add_waiting(slots, 1)
    assert Slots.take(slots, :any, 1, 0) == :full
    Slots.add_waiting(slots, -1)
    assert {:ok, _slot} = Slots.take(slots, :any, 1, 0)
  end

  test "a released slot is free again and its worker less loaded", %{slots: slots} do
    {:ok, slot} = Slots.take(slots, 1, 1, 0)
    assert Slots.in_flight(slots, 1) == 1
    Slots.release(slots, slot)
    assert Slots.in_flight(slots, 1) == 0
    assert Slots.requests(slots, 1) == 1
  end

  test "a slot is released in the name of its token only", %{slots: slots} do
    {:ok, slot} = Slots.take(slots, 1, 1, 0)
    refute Slots.release(slots, slot, 2)
    assert Slots.release(slots, slot, 1)
    refute Slots.release(slots, slot, 1)
    assert Slots.busy(slots) == 0
  end

  test "reaping frees all slots of a token and no other", %{slots: slots} do
    for worker <- 0..2, do: {:ok, _slot} = Slots.take(slots, worker, 1, 0)
    {:ok, _slot} = Slots.take(slots, 0, 2, 0)
    assert Enum.sort(Slots.reap(slots, 1)) == [0, 1, 2]
    assert Slots.busy(slots) == 1
    assert Slots.reap(slots, 1) == []
  end

  test "a wrong hint of the load hides no free slot", %{slots: slots} do
    # As left by a caller that was killed between taking a slot and counting it, or after.
    {:ok, _slot} = Slots.take(slots, 0, 9, 0)
    size = :atomics.info(slots.slots).size
    for index <- 1..size, do: :atomics.compare_exchange(slots.slots, index, 9, 0)
    assert Slots.busy(slots) == 0

    for token <- 1..6, do: assert({:ok, _slot} = Slots.take(slots, :any, token, 0))
    assert Slots.take(slots, :any, 7, 0) == :full
  end
end
