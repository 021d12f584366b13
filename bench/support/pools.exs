defmodule Bench.Pools do
  @moduledoc false
  # The pool itself: how fast it starts, what a worker holds, what a lease costs.

  alias Bench.{Facade, Machine, Summary}
  alias Snakepit.Pool.{Lease, Shared}
  alias Snakepit.Request

  @python [path: ["bench"], modules: ["bench_handlers"]]
  @leases 100_000

  @doc """
  Runs `fun` while there is a pool with the handlers.
  """
  def with_pool(options, fun) do
    {:ok, pool} = Snakepit.Pool.start_link([python: @python] ++ options)

    try do
      fun.()
    after
      Supervisor.stop(pool)
    end
  end

  @doc """
  Milliseconds until a pool of four is ready, and MiB of each worker then.
  """
  def start_and_idle(times) do
    {starts, idle} =
      for _ <- 1..times do
        started = System.monotonic_time(:microsecond)

        with_pool([name: :started, pool_size: 4], fn ->
          elapsed = System.monotonic_time(:microsecond) - started
          {elapsed / 1000, Enum.map(Snakepit.list_workers(:started), &Machine.rss_mib(&1.os_pid))}
        end)
      end
      |> Enum.unzip()

    %{start_ms: Summary.of(starts), idle_mib: idle |> Enum.concat() |> Summary.of()}
  end

  @doc """
  16 callers of a pool with the default number of slots, fewer than the callers.
  """
  def queued(question, times) do
    with_pool([name: :queued, pool_size: 1], fn ->
      Summary.of(for _ <- 1..times, do: Facade.measure(question, pool: :queued)["per_s"])
    end)
  end

  @doc """
  Nanoseconds to take a slot of the default pool and give it back.
  """
  def lease_ns(times) do
    {:ok, pool} = Shared.fetch(:default)
    {:ok, request} = Request.new("bench_echo", %{}, timeout: 30_000)
    lease(pool, request, @leases)

    Summary.of(
      for _ <- 1..times do
        {elapsed, :ok} = :timer.tc(fn -> lease(pool, request, @leases) end, :nanosecond)
        elapsed / @leases
      end
    )
  end

  defp lease(_pool, _request, 0), do: :ok

  defp lease(pool, request, count) do
    {:ok, lease} = Lease.checkout(pool, :any, request)
    :ok = Lease.release(lease)
    lease(pool, request, count - 1)
  end
end
