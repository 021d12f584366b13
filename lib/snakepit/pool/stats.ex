defmodule Snakepit.Pool.Stats do
  @moduledoc false
  # What a pool tells about itself, read from the shared memory of its callers.

  alias Snakepit.Error
  alias Snakepit.Pool.{SessionTable, Shared, Slots}

  @timeouts [:worker_timeout, :chunk_timeout]

  @doc """
  Counts a call that has failed.
  """
  @spec count_error(Shared.t(), Error.reason()) :: :ok
  def count_error(%Shared{slots: slots}, reason),
    do: Slots.count(slots, if(reason in @timeouts, do: :timeouts, else: :errors))

  @spec workers(Shared.t()) :: [map()]
  def workers(%Shared{slots: slots} = pool) do
    for {index, row} <- Shared.workers(pool), do: worker(slots, index, row)
  end

  @doc """
  What is known of one worker. `requests` counts those of its present process.
  """
  @spec worker(Slots.t(), Slots.worker(), map()) :: map()
  def worker(slots, index, row) do
    {before, row} = Map.pop!(row, :requests_before)

    Map.merge(row, %{
      in_flight: Slots.in_flight(slots, index),
      requests: Slots.requests(slots, index) - before
    })
  end

  @doc """
  How long ago the process of a worker was started; nil when it has none.
  """
  @spec age_ms(map()) :: integer() | nil
  def age_ms(%{started_at: nil}), do: nil

  def age_ms(%{started_at: started_at}),
    do: DateTime.diff(DateTime.utc_now(), started_at, :millisecond)

  @spec pool(Shared.t()) :: map()
  def pool(%Shared{slots: slots} = pool) do
    workers = 0..(slots.size - 1)
    busy = Slots.busy(slots)

    slots
    |> Slots.counted()
    |> Map.merge(%{
      workers: pool.config.pool_size,
      ready: Enum.count(workers, &Slots.ready?(slots, &1)),
      busy_slots: busy,
      # Those of workers on their way out come on top.
      free_slots: max(pool.config.pool_size * slots.capacity - busy, 0),
      queued: queued(pool),
      requests: workers |> Enum.map(&Slots.requests(slots, &1)) |> Enum.sum(),
      sessions: SessionTable.count(pool.sessions)
    })
  end

  defp queued(pool) do
    GenServer.call(pool.server, :queued)
  catch
    :exit, _server_gone -> 0
  end
end
