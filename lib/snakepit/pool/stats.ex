defmodule Snakepit.Pool.Stats do
  @moduledoc false
  # What a pool tells about itself, read from the shared memory of its callers.

  alias Snakepit.Pool.{Lease, Shared, Slots}

  @timeouts [:worker_timeout, :chunk_timeout]

  @doc """
  Counts a result that is not a success, and returns it.
  """
  @spec count(result, Lease.t()) :: result when result: term()
  def count({:error, reason} = result, %Lease{pool: pool} = lease) do
    if reason == :worker_exited, do: suspect(lease)
    Slots.count(pool.slots, if(reason in @timeouts, do: :timeouts, else: :errors))
    result
  end

  def count(result, _lease), do: result

  # The worker may not know yet that its process is gone.
  defp suspect(%Lease{pool: pool, slot: slot, channel: channel}) do
    with %{pid: pid} when is_pid(pid) <- Shared.worker(pool, Slots.worker(pool.slots, slot)),
         do: send(pid, {:suspect, channel})
  end

  @spec workers(Shared.t()) :: [map()]
  def workers(%Shared{slots: slots} = pool) do
    for {row, index} <- Enum.with_index(Shared.workers(pool)) do
      Map.merge(row, %{
        in_flight: Slots.in_flight(slots, index),
        requests: Slots.requests(slots, index)
      })
    end
  end

  @spec pool(Shared.t()) :: map()
  def pool(%Shared{slots: slots} = pool) do
    workers = 0..(slots.size - 1)
    busy = Slots.busy(slots)

    slots
    |> Slots.counted()
    |> Map.merge(%{
      workers: slots.size,
      ready: Enum.count(workers, &Slots.ready?(slots, &1)),
      busy_slots: busy,
      free_slots: slots.size * slots.capacity - busy,
      queued: queued(pool),
      requests: workers |> Enum.map(&Slots.requests(slots, &1)) |> Enum.sum(),
      sessions: 0
    })
  end

  defp queued(pool) do
    GenServer.call(pool.server, :queued)
  catch
    :exit, _server_gone -> 0
  end
end
