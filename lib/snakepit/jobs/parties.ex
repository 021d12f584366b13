defmodule Snakepit.Jobs.Parties do
  @moduledoc false
  # Who has an interest in jobs: processes with whose end their jobs end, and aliases that are told of
  # the end of a job, and of room for more.

  defstruct jobs: %{}, owners: %{}, wanting_room: MapSet.new()

  @type owner :: pid() | nil
  @type notify :: reference() | nil
  @type t :: %__MODULE__{
          jobs: %{String.t() => {owner(), notify()}},
          owners: %{pid() => {reference(), MapSet.t(String.t())}},
          wanting_room: MapSet.t(reference())
        }

  @spec add(t(), String.t(), owner(), notify()) :: t()
  def add(%__MODULE__{jobs: jobs} = parties, id, owner, notify),
    do: own(%{parties | jobs: Map.put(jobs, id, {owner, notify})}, owner, id)

  defp own(parties, nil, _id), do: parties

  defp own(%{owners: owners} = parties, owner, id) do
    {monitor, ids} = owners[owner] || {Process.monitor(owner), MapSet.new()}
    %{parties | owners: Map.put(owners, owner, {monitor, MapSet.put(ids, id)})}
  end

  @doc """
  Does the job end with a process?
  """
  @spec owned?(t(), String.t()) :: boolean()
  def owned?(%__MODULE__{jobs: jobs}, id), do: match?({owner, _} when owner != nil, jobs[id])

  @doc """
  Tells whoever waits for the job that it has ended.
  """
  @spec tell_finished(t(), String.t()) :: :ok
  def tell_finished(%__MODULE__{jobs: jobs}, id) do
    with {_owner, notify} when notify != nil <- jobs[id],
         do: send(notify, {notify, {:finished, id}})

    :ok
  end

  @spec forget(t(), String.t()) :: t()
  def forget(%__MODULE__{jobs: jobs} = parties, id) do
    {{owner, _notify}, jobs} = Map.pop(jobs, id, {nil, nil})
    disown(%{parties | jobs: jobs}, owner, id)
  end

  defp disown(%{owners: owners} = parties, owner, id) when is_map_key(owners, owner) do
    {monitor, ids} = owners[owner]
    ids = MapSet.delete(ids, id)

    if MapSet.size(ids) == 0 do
      Process.demonitor(monitor, [:flush])
      %{parties | owners: Map.delete(owners, owner)}
    else
      %{parties | owners: Map.put(owners, owner, {monitor, ids})}
    end
  end

  defp disown(parties, _owner, _id), do: parties

  @doc """
  An owner has ended. Returns its jobs.
  """
  @spec gone(t(), pid()) :: {[String.t()], t()}
  def gone(%__MODULE__{owners: owners} = parties, owner) do
    {{_monitor, ids}, owners} = Map.pop(owners, owner, {nil, MapSet.new()})
    {MapSet.to_list(ids), %{parties | owners: owners}}
  end

  @doc """
  Who was refused is told when there is room, if it wants to be.
  """
  @spec want_room(t(), notify()) :: t()
  def want_room(parties, nil), do: parties

  def want_room(%__MODULE__{wanting_room: wanting} = parties, notify),
    do: %{parties | wanting_room: MapSet.put(wanting, notify)}

  @spec tell_of_room(t()) :: t()
  def tell_of_room(%__MODULE__{wanting_room: wanting} = parties) do
    for notify <- wanting, do: send(notify, {notify, :room})
    %{parties | wanting_room: MapSet.new()}
  end
end
