defmodule Snakepit.Pool.Sessions do
  @moduledoc false
  # The sessions of a pool, as its callers see them. A call in a session that is there asks no
  # process: it finds the worker in a table, takes a slot of it, and looks again.

  alias Snakepit.Request
  alias Snakepit.Pool.{Lease, SessionKeeper, SessionTable, Shared, Slots}

  @doc """
  Takes a slot for a call in a session, which begins with its first call. `target` is not `:any`
  for a call on one particular worker.
  """
  @spec checkout(Shared.t(), Slots.target(), Request.t()) ::
          {:ok, Lease.t()} | {:error, Snakepit.Error.condition()}
  def checkout(pool, target, %Request{} = request) do
    with {:ok, worker, incarnation} <- place(pool, target, request, false),
         {:ok, lease} <- lease(pool, worker, incarnation, request),
         do: enter(lease, worker, incarnation, request.session_id)
  end

  @doc """
  Where the session lives. One that is not there begins; one that is lost does only if `anew`.
  """
  @spec place(Shared.t(), Slots.target(), Request.t(), boolean()) ::
          {:ok, Slots.worker(), Shared.incarnation()} | {:error, Snakepit.Error.condition()}
  def place(pool, target, %Request{session_id: id} = request, anew) do
    case SessionTable.lookup(pool.sessions, id) do
      {^id, worker, incarnation, _used, _created, :live} ->
        cond do
          target not in [:any, worker] ->
            {:error, :session_not_found}

          not lost?(pool, worker, incarnation) ->
            SessionTable.touch(pool.sessions, id)
            {:ok, worker, incarnation}

          anew ->
            create(pool, target, request, anew)

          true ->
            place_lost(pool, target, request, incarnation)
        end

      {^id, _worker, incarnation, _used, _created, :lost} when not anew ->
        place_lost(pool, target, request, incarnation)

      _none_or_told ->
        create(pool, target, request, anew)
    end
  end

  defp create(%{sessions: %{keeper: keeper}} = pool, target, request, anew) do
    with {:error, :no_worker} <- SessionKeeper.create(keeper, request.session_id, target, anew),
         # Waits for a worker like any other call.
         {:ok, lease} <- Lease.checkout(pool, target, request) do
      Lease.release(lease)
      place(pool, target, request, anew)
    end
  end

  # Told once; who is not told that the state is lost is told that there is none.
  defp place_lost(pool, target, request, incarnation) do
    with :again <- SessionKeeper.lost(pool.sessions.keeper, request.session_id, incarnation),
         do: place(pool, target, request, false)
  end

  defp lease(%{config: %{session_affinity: affinity}} = pool, worker, incarnation, request) do
    with {:error, reason} <- lease(affinity, pool, worker, request) do
      # Whatever it was waiting for, it would have waited in vain.
      if affinity != :hint and lost?(pool, worker, incarnation),
        do: lost(pool, request.session_id, incarnation),
        else: {:error, reason}
    end
  end

  defp lease(:strict_queue, pool, worker, request), do: Lease.checkout(pool, worker, request)
  defp lease(:strict_fail_fast, pool, worker, request), do: Lease.try(pool, worker, request)

  defp lease(:hint, pool, worker, request) do
    with {:error, reason} when reason in [:worker_busy, :grpc_unavailable] <-
           Lease.try(pool, worker, request),
         do: Lease.checkout(pool, :any, request)
  end

  # The session may have ended, or the worker that was waited for is another process now.
  defp enter(%Lease{pool: pool} = lease, worker, incarnation, id) do
    lease = %{lease | session: id}
    there = SessionTable.enter(pool.sessions, lease.slot, lease.token, id)

    cond do
      not there ->
        Lease.release(lease)
        {:error, :session_not_found}

      pool.config.session_affinity != :hint and lost?(pool, worker, incarnation) ->
        Lease.release(lease)
        lost(pool, id, incarnation)

      true ->
        {:ok, lease}
    end
  end

  defp lost(pool, id, incarnation) do
    with :again <- SessionKeeper.lost(pool.sessions.keeper, id, incarnation),
         do: {:error, :session_lost}
  end

  defp lost?(pool, worker, incarnation), do: Shared.incarnation(pool, worker) != incarnation
end
