defmodule Snakepit.Pool.Waiting do
  @moduledoc false
  # The dealings of the pool's server with those that wait for a slot: each gets one, or an answer
  # that says why not. The flag in shared memory counts them, so that nobody overtakes.

  alias Snakepit.Pool.{Queue, Roster, Shared, Slots}

  @type reply_to :: reference()
  @type manner :: :queue | :at_once

  @doc """
  Grants a slot, lets the caller wait, or refuses.
  """
  @spec checkout(
          Queue.t(),
          Shared.t(),
          reply_to(),
          {Slots.token(), Slots.worker()},
          Slots.target(),
          manner()
        ) :: Queue.t()
  def checkout(queue, %{slots: slots} = pool, reply_to, {token, start}, target, manner) do
    Slots.add_waiting(slots, 1)

    with false <- Queue.waiting?(queue, target),
         {:ok, slot} <- Slots.claim(slots, target, token, start, skip(queue, target)) do
      grant(queue, slots, reply_to, slot)
    else
      _full ->
        case refusal(queue, pool, target, manner) do
          nil -> Queue.push(queue, target, token, reply_to)
          reason -> refuse_now(queue, slots, reply_to, reason)
        end
    end
  end

  @doc """
  Gives the free slots of a worker to those that wait for it.
  """
  @spec serve(Queue.t(), Shared.t(), Slots.worker()) :: Queue.t()
  def serve(queue, %{slots: slots} = pool, worker) do
    with {token, reply_to} <- Queue.peek(queue, lines(slots, worker)),
         {:ok, slot} <- Slots.claim(slots, worker, token, 0, []) do
      {_entry, queue} = Queue.pop(queue, token)
      queue |> grant(slots, reply_to, slot) |> serve(pool, worker)
    else
      _nobody_or_full -> queue
    end
  end

  @doc """
  A caller waits no longer. `:error` if it did not wait.
  """
  @spec leave(Queue.t(), Shared.t(), Slots.token()) :: {:ok, Queue.t()} | :error
  def leave(queue, %{slots: slots}, token) do
    case Queue.pop(queue, token) do
      {_entry, queue} ->
        Slots.add_waiting(slots, -1)
        {:ok, queue}

      nil ->
        :error
    end
  end

  @doc """
  Refuses all that wait for `target`.
  """
  @spec refuse_all(Queue.t(), Shared.t(), Slots.target(), atom()) :: Queue.t()
  def refuse_all(queue, %{slots: slots}, target, reason) do
    {entries, queue} = Queue.pop_all(queue, target)
    Slots.add_waiting(slots, -length(entries))
    Enum.each(entries, &refuse(&1, reason))
    queue
  end

  @spec refuse(reply_to(), atom()) :: :ok
  def refuse(reply_to, reason) do
    send(reply_to, {reply_to, {:error, reason}})
    :ok
  end

  defp refusal(queue, %{slots: slots, config: config} = pool, target, manner) do
    cond do
      not Roster.reachable?(pool, target) ->
        :grpc_unavailable

      manner == :at_once ->
        :worker_busy

      Queue.size(queue) >= config.queue_limit ->
        Slots.count(slots, :rejected)
        :pool_saturated

      true ->
        nil
    end
  end

  defp refuse_now(queue, slots, reply_to, reason) do
    Slots.add_waiting(slots, -1)
    refuse(reply_to, reason)
    queue
  end

  defp grant(queue, slots, reply_to, slot) do
    Slots.add_waiting(slots, -1)
    send(reply_to, {reply_to, {:ok, slot}})
    queue
  end

  # Slots that somebody waits for by name are not for others.
  defp skip(_queue, worker) when is_integer(worker), do: []
  defp skip(queue, :any), do: Queue.wanted(queue)

  defp lines(slots, worker),
    do: if(Slots.ready?(slots, worker), do: [:any, worker], else: [worker])
end
