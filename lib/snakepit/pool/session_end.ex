defmodule Snakepit.Pool.SessionEnd do
  @moduledoc false
  # Sessions that are over and of which Python has to hear: many in one call, each when no call in
  # it runs any more. Until Python has answered, who wants a session of the same id waits.

  alias Snakepit.Request
  alias Snakepit.Pool.{Calls, Shared, Slots}

  @command "snakepit.end_sessions"
  @timeout 30_000
  @at_once 1_000
  @worth_repeating [:worker_timeout, :queue_timeout, :pool_saturated, :grpc_unavailable]

  defstruct pending: %{}, calls: %{}, waiting: %{}

  @typep place :: {Slots.worker(), Shared.incarnation()}
  @type t :: %__MODULE__{
          pending: %{String.t() => place() | :told},
          calls: %{reference() => [{String.t(), place()}]},
          waiting: %{String.t() => [term()]}
        }

  @spec new() :: t()
  def new, do: %__MODULE__{}

  @spec add(t(), Slots.worker(), Shared.incarnation(), String.t()) :: t()
  def add(%__MODULE__{} = ending, worker, incarnation, id),
    do: %{ending | pending: Map.put(ending.pending, id, {worker, incarnation})}

  @doc """
  Has the end of this session not arrived yet?
  """
  @spec pending?(t(), String.t()) :: boolean()
  def pending?(%__MODULE__{pending: pending}, id), do: is_map_key(pending, id)

  @doc """
  Is there a session that could not be told, because a call in it runs?
  """
  @spec held?(t()) :: boolean()
  def held?(%__MODULE__{pending: pending}), do: Enum.any?(pending, &(elem(&1, 1) != :told))

  @doc """
  Keeps what is to be given back when the end of the session has arrived.
  """
  @spec await(t(), String.t(), term()) :: t()
  def await(%__MODULE__{} = ending, id, waiting),
    do: %{ending | waiting: Map.update(ending.waiting, id, [waiting], &[waiting | &1])}

  @doc """
  Tells the workers, except of the sessions in `running`. Returns who need not wait any longer.
  """
  @spec start(t(), Shared.t(), MapSet.t(String.t())) :: {[{String.t(), term()}], t()}
  def start(%__MODULE__{} = ending, pool, running) do
    {due, gone} =
      for({id, {_worker, _inc} = place} <- ending.pending, do: {id, place})
      |> Enum.split_with(fn {_id, {worker, incarnation}} ->
        Shared.incarnation(pool, worker) == incarnation
      end)

    calls =
      due
      |> Enum.reject(fn {id, _place} -> MapSet.member?(running, id) end)
      |> Enum.group_by(fn {_id, place} -> place end)
      |> Enum.flat_map(fn {_place, ended} -> Enum.chunk_every(ended, @at_once) end)
      |> Map.new(&{call(pool, &1), &1})

    told = for {_monitor, ended} <- calls, {id, _place} <- ended, into: %{}, do: {id, :told}

    settle(
      %{
        ending
        | calls: Map.merge(ending.calls, calls),
          pending: Map.merge(ending.pending, told)
      },
      gone
    )
  end

  @doc """
  A call to a worker is over; one that failed is made again later.
  """
  @spec ended(t(), reference(), term()) :: {[{String.t(), term()}], t()}
  def ended(%__MODULE__{} = ending, monitor, result) do
    {ended, calls} = Map.pop(ending.calls, monitor, [])
    ending = %{ending | calls: calls}

    case result do
      {:ended, {:error, reason}} when reason in @worth_repeating ->
        {[], %{ending | pending: Map.merge(ending.pending, Map.new(ended))}}

      _told_or_gone ->
        settle(ending, ended)
    end
  end

  defp settle(ending, ended) do
    ids = Enum.map(ended, &elem(&1, 0))

    waiting =
      for id <- ids, entry <- Enum.reverse(Map.get(ending.waiting, id, [])), do: {id, entry}

    {waiting,
     %{
       ending
       | pending: Map.drop(ending.pending, ids),
         waiting: Map.drop(ending.waiting, ids)
     }}
  end

  # The reason of the process's exit carries the result.
  defp call(pool, [{_id, {worker, _incarnation}} | _more] = ended) do
    args = %{sessions: Enum.map(ended, &elem(&1, 0))}
    {:ok, request} = Request.new(@command, args, timeout: @timeout)
    workers = if pool.config.session_affinity == :hint, do: ready(pool), else: [worker]

    {_pid, monitor} =
      spawn_monitor(fn ->
        results = Enum.map(workers, &Calls.execute(pool, &1, request))
        exit({:ended, Enum.find(results, hd(results), &match?({:error, _reason}, &1))})
      end)

    monitor
  end

  # Without affinity, the state of a session may be anywhere.
  defp ready(pool), do: Enum.filter(0..(pool.slots.size - 1), &Slots.ready?(pool.slots, &1))
end
