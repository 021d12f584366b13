defmodule Snakepit.Pool.SessionTable do
  @moduledoc false
  # The two tables behind the sessions of a pool.
  #
  #   rows      `{id, worker, incarnation, used, created, state}`. The incarnation names the
  #             process of the worker; another one knows nothing of the session. The state
  #             is `:live`, `:lost` (the process is gone and nobody was told) or `:told`.
  #   running   `{slot, token, id}` for each call in a session: such a session does not expire.
  #
  # Rows come and go only by the keeper, which owns the tables; callers write when a session was
  # used and what runs.

  alias Snakepit.Request
  alias Snakepit.Pool.{Shared, Slots}

  @enforce_keys [:keeper, :rows, :running]
  defstruct [:keeper, :rows, :running]

  @type t :: %__MODULE__{keeper: pid(), rows: :ets.table(), running: :ets.table()}
  @type row ::
          {String.t(), Slots.worker(), Shared.incarnation(), integer(), integer(),
           :live | :lost | :told}

  @used 4
  @state 6

  @spec new() :: t()
  def new do
    %__MODULE__{
      keeper: self(),
      rows: :ets.new(__MODULE__, [:public, read_concurrency: true, write_concurrency: true]),
      running: :ets.new(__MODULE__, [:public, write_concurrency: true])
    }
  end

  @spec lookup(t(), String.t()) :: row() | nil
  def lookup(%__MODULE__{rows: rows}, id) do
    List.first(:ets.lookup(rows, id))
  rescue
    # Here and below: the pool is gone.
    ArgumentError -> nil
  end

  @spec live(t()) :: [row()]
  def live(%__MODULE__{rows: rows}) do
    :ets.match_object(rows, {:_, :_, :_, :_, :_, :live})
  rescue
    ArgumentError -> []
  end

  @spec count(t()) :: non_neg_integer()
  def count(%__MODULE__{rows: rows}) do
    :ets.select_count(rows, [{{:_, :_, :_, :_, :_, :live}, [], [true]}])
  rescue
    ArgumentError -> 0
  end

  @doc """
  Does a session live on this process of a worker?
  """
  @spec any?(t(), Slots.worker(), Shared.incarnation()) :: boolean()
  def any?(%__MODULE__{rows: rows}, worker, incarnation) do
    pattern = {:_, worker, incarnation, :_, :_, :live}
    :ets.select(rows, [{pattern, [], [true]}], 1) != :"$end_of_table"
  rescue
    ArgumentError -> false
  end

  @doc """
  Notes that the session is used now. `false` if there is none.
  """
  @spec touch(t(), String.t()) :: boolean()
  def touch(%__MODULE__{rows: rows}, id) do
    :ets.update_element(rows, id, {@used, Request.now()})
  rescue
    ArgumentError -> false
  end

  @doc """
  A call in the session begins. `false` if there is no such session.
  """
  @spec enter(t(), Slots.slot(), Slots.token(), String.t()) :: boolean()
  def enter(%__MODULE__{running: running} = sessions, slot, token, id) do
    :ets.insert(running, {slot, token, id})
    # From here on it does not expire. It may have before.
    touch(sessions, id)
  rescue
    ArgumentError -> false
  end

  @doc """
  The call in a session that had this slot is over.
  """
  @spec leave(t(), Slots.slot()) :: :ok
  def leave(%__MODULE__{running: running} = sessions, slot) do
    for {^slot, _token, id} <- :ets.lookup(running, slot), do: touch(sessions, id)
    :ets.delete(running, slot)
    :ok
  rescue
    ArgumentError -> :ok
  end

  # -- for the keeper

  @spec insert(t(), String.t(), Slots.worker(), Shared.incarnation()) :: true
  def insert(%__MODULE__{rows: rows}, id, worker, incarnation) do
    row = {id, worker, incarnation, Request.now(), System.system_time(:millisecond), :live}
    :ets.insert(rows, row)
  end

  @spec delete(t(), String.t()) :: true
  def delete(%__MODULE__{rows: rows}, id), do: :ets.delete(rows, id)

  @doc """
  The sessions in which calls run. A caller that was killed leaves its row behind; its token
  stands in no slot any more.
  """
  @spec running(t(), Slots.t()) :: MapSet.t(String.t())
  def running(%__MODULE__{running: running}, slots) do
    for {slot, token, id} = row <- :ets.tab2list(running), into: MapSet.new() do
      if Slots.held?(slots, slot, token) do
        id
      else
        :ets.delete_object(running, row)
        nil
      end
    end
  end

  @doc """
  Nothing runs any more.
  """
  @spec stop_all(t()) :: true
  def stop_all(%__MODULE__{running: running}), do: :ets.delete_all_objects(running)

  @doc """
  Takes out what was not used since `limit`, except what runs.
  """
  @spec expire(t(), integer(), MapSet.t(String.t())) :: [row()]
  def expire(%__MODULE__{rows: rows}, limit, running) do
    unused = {:"$1", :_, :_, :"$2", :_, :_}

    for row <- :ets.select(rows, [{unused, [{:<, :"$2", limit}], [:"$_"]}]),
        not MapSet.member?(running, elem(row, 0)),
        # A call may have begun in this moment.
        still_unused = put_elem(unused, 0, elem(row, 0)),
        :ets.select_delete(rows, [{still_unused, [{:<, :"$2", limit}], [true]}]) == 1,
        do: row
  end

  @doc """
  The sessions that live on this process of a worker.
  """
  @spec on(t(), Slots.worker(), Shared.incarnation()) :: [String.t()]
  def on(%__MODULE__{rows: rows}, worker, incarnation),
    do: :ets.select(rows, [{{:"$1", worker, incarnation, :_, :_, :live}, [], [:"$1"]}])

  @doc """
  Marks the sessions of a process that is gone.
  """
  @spec lose(t(), Slots.worker(), Shared.incarnation()) :: non_neg_integer()
  def lose(%__MODULE__{rows: rows}, worker, incarnation) do
    :ets.select_replace(rows, [
      {{:"$1", worker, incarnation, :_, :"$2", :live}, [],
       [{{:"$1", worker, incarnation, Request.now(), :"$2", :lost}}]}
    ])
  end

  @doc """
  Takes out the sessions of a process that is gone.
  """
  @spec drop(t(), Slots.worker(), Shared.incarnation()) :: true
  def drop(%__MODULE__{rows: rows}, worker, incarnation),
    do: :ets.match_delete(rows, {:_, worker, incarnation, :_, :_, :_})

  @spec tell(t(), String.t()) :: boolean()
  def tell(%__MODULE__{rows: rows}, id),
    do: :ets.update_element(rows, id, [{@used, Request.now()}, {@state, :told}])

  @doc """
  Forgets the oldest losses when there are more than `limit`.
  """
  @spec forget_lost(t(), pos_integer()) :: :ok
  def forget_lost(%__MODULE__{rows: rows}, limit) do
    lost = {:"$1", :_, :_, :"$2", :_, :"$3"}

    rows
    |> :ets.select([{lost, [{:"/=", :"$3", :live}], [{{:"$2", :"$1"}}]}])
    |> Enum.sort(:desc)
    |> Enum.drop(limit)
    |> Enum.each(fn {_used, id} -> :ets.delete(rows, id) end)
  end
end
