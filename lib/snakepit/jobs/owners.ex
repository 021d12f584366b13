defmodule Snakepit.Jobs.Owners do
  @moduledoc false
  # Processes with whose end their jobs end.

  defstruct owners: %{}

  @type t :: %__MODULE__{owners: %{pid() => {reference(), MapSet.t(String.t())}}}

  @spec add(t(), pid() | nil, String.t()) :: t()
  def add(%__MODULE__{} = owners, nil, _id), do: owners

  def add(%__MODULE__{owners: all} = owners, owner, id) do
    {monitor, ids} = all[owner] || {Process.monitor(owner), MapSet.new()}
    %{owners | owners: Map.put(all, owner, {monitor, MapSet.put(ids, id)})}
  end

  @spec remove(t(), pid() | nil, String.t()) :: t()
  def remove(%__MODULE__{owners: all} = owners, owner, id) when is_map_key(all, owner) do
    {monitor, ids} = all[owner]
    ids = MapSet.delete(ids, id)

    if MapSet.size(ids) == 0 do
      Process.demonitor(monitor, [:flush])
      %{owners | owners: Map.delete(all, owner)}
    else
      %{owners | owners: Map.put(all, owner, {monitor, ids})}
    end
  end

  def remove(owners, _owner, _id), do: owners

  @doc """
  The owner has ended. Returns its jobs.
  """
  @spec gone(t(), pid()) :: {[String.t()], t()}
  def gone(%__MODULE__{owners: all} = owners, owner) do
    {{_monitor, ids}, all} = Map.pop(all, owner, {nil, MapSet.new()})
    {MapSet.to_list(ids), %{owners | owners: all}}
  end
end
