defmodule Snakepit.Pool.QueueTest do
  use ExUnit.Case, async: true

  alias Snakepit.Pool.Queue

  defp queue(entries) do
    Enum.reduce(entries, Queue.new(), fn {target, token}, queue ->
      Queue.push(queue, target, token, {:entry, token})
    end)
  end

  defp drain(queue, worker) do
    case Queue.peek(queue, [:any, worker]) do
      nil ->
        []

      {token, _entry} ->
        {_entry, queue} = Queue.pop(queue, token)
        [token | drain(queue, worker)]
    end
  end

  test "first come, first served" do
    assert drain(queue(any: 1, any: 2, any: 3), 0) == [1, 2, 3]
  end

  test "a worker serves those that wait for it and for any, the oldest first" do
    queue = queue([{:any, 1}, {0, 2}, {1, 3}, {:any, 4}, {0, 5}])
    assert drain(queue, 0) == [1, 2, 4, 5]
    assert drain(queue, 1) == [1, 3, 4]
  end

  test "whoever leaves is not served and does not count" do
    queue = queue(any: 1, any: 2)
    assert {{:entry, 1}, queue} = Queue.pop(queue, 1)
    assert Queue.pop(queue, 1) == nil
    assert Queue.size(queue) == 1
    assert drain(queue, 0) == [2]
  end

  test "tells who is waited for" do
    queue = queue([{:any, 1}, {2, 2}])
    assert Queue.wanted(queue) == [2]
    assert Queue.waiting?(queue, :any)
    assert Queue.waiting?(queue, 2)
    refute Queue.waiting?(queue, 0)
    {_entry, queue} = Queue.pop(queue, 2)
    assert Queue.wanted(queue) == []
  end

  test "a whole line can be sent home" do
    {entries, queue} = Queue.pop_all(queue([{:any, 1}, {2, 2}, {:any, 3}]), :any)
    assert entries == [{:entry, 1}, {:entry, 3}]
    assert Queue.size(queue) == 1
    assert Queue.pop_all(queue, :any) == {[], queue}
  end
end
