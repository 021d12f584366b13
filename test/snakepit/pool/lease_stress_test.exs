defmodule Snakepit.Pool.LeaseStressTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Pool.{Lease, Slots, Stats}
  alias Snakepit.Request

  @moduletag timeout: 120_000

  # Many processes take and return leases; some are killed at a random moment, some give up
  # early, and the workers go up and down. At the end everything must be free, nobody may be left
  # waiting, and at no time may two callers have had the same slot.
  for {size, capacity, callers} <- [{1, 1, 40}, {2, 2, 60}, {4, 3, 60}] do
    test "no slot is lost or given twice: #{size} workers of #{capacity}, #{callers} callers" do
      {size, capacity, callers} = {unquote(size), unquote(capacity), unquote(callers)}
      pool = start_server(pool_size: size, max_concurrent_streams: capacity, queue_limit: callers)
      for index <- 0..(size - 1), do: worker_ready(pool, index)

      owners = :ets.new(:owners, [:public, :set, write_concurrency: true])
      test = self()

      pids =
        for _caller <- 1..callers do
          spawn(fn -> work(pool, owners, test, 3_000) end)
        end

      monitors = Map.new(pids, &{Process.monitor(&1), &1})
      spawn_link(fn -> kill_some(Enum.take_random(pids, div(callers, 3))) end)
      shake(pool, size, 2_000)

      for {monitor, _pid} <- monitors, do: assert_receive({:DOWN, ^monitor, _, _, _}, 60_000)
      refute_received {:twice, _slot}

      settle(pool)
      stats = Stats.pool(pool)
      assert stats.busy_slots == 0
      assert stats.queued == 0
      refute Slots.waiting?(pool.slots)

      # And all of them can be taken again.
      {:ok, request} = Request.new("test", %{}, 5_000)

      for _slot <- 1..(size * capacity),
          do: assert({:ok, _} = Lease.checkout(pool, :any, request))
    end
  end

  defp work(_pool, _owners, _test, 0), do: :ok

  defp work(pool, owners, test, left) do
    {:ok, request} =
      Request.new("test", %{}, queue_timeout: Enum.random([0, 1, 5_000]), timeout: 9_000)

    target = if :rand.uniform(4) == 1, do: :rand.uniform(pool.slots.size) - 1, else: :any

    with {:ok, lease} <- Lease.checkout(pool, target, request) do
      hold(pool, owners, test, lease)
      Lease.release(lease)
    end

    work(pool, owners, test, left - 1)
  end

  # Names the holder of the slot; whoever finds another living one there got it twice.
  defp hold(_pool, owners, test, %{slot: slot}) do
    unless :ets.insert_new(owners, {slot, self()}) do
      case :ets.lookup(owners, slot) do
        [{^slot, other}] -> if Process.alive?(other), do: send(test, {:twice, slot})
        [] -> :ok
      end

      :ets.insert(owners, {slot, self()})
    end

    if :rand.uniform(3) == 1, do: :erlang.yield()
    :ets.delete_object(owners, {slot, self()})
  end

  defp kill_some(pids) do
    for pid <- pids do
      for _turn <- 1..:rand.uniform(200), do: :erlang.yield()
      Process.exit(pid, :kill)
    end
  end

  defp shake(pool, size, turns) do
    for _turn <- 1..turns do
      index = :rand.uniform(size) - 1
      worker_down(pool, index)
      :erlang.yield()
      worker_ready(pool, index)
    end
  end
end
