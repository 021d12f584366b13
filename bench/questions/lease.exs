defmodule Bench.Questions.Lease do
  @moduledoc false
  # The part of a call that all callers of a pool share: taking a slot of a worker and giving it back.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Clock, Context, Pools, Question, Settings}
  alias Snakepit.Pool.{Lease, Shared}
  alias Snakepit.Request

  @callers [1, 2, 4, 16, 64]
  @leases 200_000
  @pool [name: :leases, pool_size: 4, max_concurrent_streams: 16]

  @spec all(Context.t()) :: [Question.t()]
  def all(%Context{settings: settings}) do
    leases = Settings.part(settings, @leases, 1_000)

    [
      %Question{
        key: :lease,
        title: "What does a lease cost, the more callers there are?",
        note: """
        Time over the leases of all callers together, which take and return them as fast as they can. There
        are 64 slots, 16 each of 4 workers. Cores that disturb each other would show as more than 1.\
        """,
        figures: [figure("ns", "a lease", "ns")],
        ratio: {:over_first, "this over one caller"},
        together: fn ->
          Pools.with_pool(@pool, fn ->
            for callers <- @callers, into: %{}, do: {key(callers), measure(callers, leases)}
          end)
        end,
        rows: for(callers <- @callers, do: row(key(callers), title(callers), nil))
      }
    ]
  end

  @spec key(pos_integer()) :: atom()
  def key(callers), do: :"callers_#{callers}"

  defp title(1), do: "1 caller"
  defp title(callers), do: "#{callers} callers"

  defp measure(callers, leases) do
    {:ok, pool} = Shared.fetch(:leases)
    {:ok, request} = Request.new("bench_echo", %{}, timeout: 30_000)
    each = div(leases, callers)
    warm_up = fn -> lease(pool, request, 100) end
    {_results, elapsed} = Clock.all(callers, warm_up, fn -> lease(pool, request, each) end)
    %{"ns" => elapsed / (each * callers)}
  end

  defp lease(_pool, _request, 0), do: :ok

  defp lease(pool, request, count) do
    {:ok, lease} = Lease.checkout(pool, :any, request)
    :ok = Lease.release(lease)
    lease(pool, request, count - 1)
  end
end
