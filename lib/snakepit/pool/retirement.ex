defmodule Snakepit.Pool.Retirement do
  @moduledoc false
  # The workers of a pool that are on their way out: a worker that leaves serves its sessions alone;
  # when these are over it drains, and the recycler hears of it when the last call has ended.

  alias Snakepit.Pool.{Roster, Shared, Slots}

  defstruct recycler: nil, workers: %{}

  @type t :: %__MODULE__{
          recycler: pid() | nil,
          workers: %{Slots.worker() => :leaving | :draining}
        }

  @doc """
  Names the process that replaces workers, and tells it what it has missed.
  """
  @spec recycled_by(t(), Shared.t(), pid()) :: t()
  def recycled_by(%__MODULE__{} = retirement, pool, recycler) do
    retirement = %{retirement | recycler: recycler}
    Enum.each(Map.keys(retirement.workers), &report_drained(retirement, pool, &1))
    retirement
  end

  @doc """
  Tells the process that replaces workers, if there is one.
  """
  @spec report(t(), term()) :: :ok
  def report(%__MODULE__{recycler: nil}, _news), do: :ok

  def report(%__MODULE__{recycler: recycler}, news) do
    send(recycler, news)
    :ok
  end

  @spec workers(t()) :: [Slots.worker()]
  def workers(%__MODULE__{workers: workers}), do: Map.keys(workers)

  @spec state(t(), Slots.worker()) :: :leaving | :draining | nil
  def state(%__MODULE__{workers: workers}, worker), do: workers[worker]

  @doc """
  The worker gets no more calls but those in its sessions. After `session_ttl` the calling process
  gets `{:retire_now, worker, incarnation}`.
  """
  @spec begin(t(), Shared.t(), Slots.worker()) :: t()
  def begin(%__MODULE__{} = retirement, pool, worker) do
    Roster.leaving(pool, worker)
    news = {:retire_now, worker, Shared.incarnation(pool, worker)}
    Process.send_after(self(), news, pool.config.session_ttl)
    put_in(retirement.workers[worker], :leaving)
  end

  @doc """
  The worker gets no more calls at all, if it leaves and nothing needs it, or `:now`. `:stays` if not.
  """
  @spec drain(t(), Shared.t(), Slots.worker(), :wait | :now) :: {:drains, t()} | :stays
  def drain(%__MODULE__{} = retirement, pool, worker, patience) do
    if retirement.workers[worker] == :leaving and
         (patience == :now or not Roster.needed?(pool, worker)) do
      Roster.draining(pool, worker)
      retirement = put_in(retirement.workers[worker], :draining)
      report_drained(retirement, pool, worker)
      {:drains, retirement}
    else
      :stays
    end
  end

  @doc """
  Tells the recycler if this worker's last call has ended.
  """
  @spec report_drained(t(), Shared.t(), Slots.worker()) :: :ok
  def report_drained(%__MODULE__{workers: workers} = retirement, pool, worker) do
    if workers[worker] == :draining and Slots.in_flight(pool.slots, worker) == 0,
      do: report(retirement, {:drained, worker}),
      else: :ok
  end

  @doc """
  The worker has no process of any kind any more.
  """
  @spec vacate(t(), Shared.t(), Slots.worker()) :: t()
  def vacate(%__MODULE__{workers: workers} = retirement, pool, worker) do
    Roster.vacant(pool, worker)
    %{retirement | workers: Map.delete(workers, worker)}
  end
end
