defmodule Snakepit.Jobs.Retention do
  @moduledoc false
  # Which finished jobs are kept: the last ones, within a number, a size and an age.

  alias Snakepit.Jobs.Job

  @enforce_keys [:config]
  defstruct [:config, order: :gb_trees.empty(), kept: %{}, bytes: 0, numbers: 0]

  @type t :: %__MODULE__{
          config: map(),
          order: :gb_trees.tree(non_neg_integer(), {String.t(), finished_ms :: integer()}),
          kept: %{String.t() => {number :: non_neg_integer(), bytes :: non_neg_integer()}},
          bytes: non_neg_integer(),
          numbers: non_neg_integer()
        }

  @spec new(map()) :: t()
  def new(config), do: %__MODULE__{config: config}

  @spec add(t(), Job.t()) :: t()
  def add(%__MODULE__{numbers: number} = retention, %Job{id: id, finished_ms: ms, bytes: bytes}) do
    %{
      retention
      | order: :gb_trees.insert(number, {id, ms}, retention.order),
        kept: Map.put(retention.kept, id, {number, bytes}),
        bytes: retention.bytes + bytes,
        numbers: number + 1
    }
  end

  @spec forget(t(), String.t()) :: t()
  def forget(%__MODULE__{kept: kept} = retention, id) when is_map_key(kept, id) do
    {{number, bytes}, kept} = Map.pop!(kept, id)
    order = :gb_trees.delete(number, retention.order)
    %{retention | order: order, kept: kept, bytes: retention.bytes - bytes}
  end

  def forget(retention, _id), do: retention

  @doc """
  The jobs that go, oldest first.
  """
  @spec evict(t()) :: {[String.t()], t()}
  def evict(%__MODULE__{} = retention), do: evict(retention, now(), [])

  defp evict(retention, now, evicted) do
    with {:ok, {id, ms}} <- oldest(retention), true <- over?(retention, ms, now) do
      retention |> forget(id) |> evict(now, [id | evicted])
    else
      _kept -> {Enum.reverse(evicted), retention}
    end
  end

  @doc """
  Milliseconds until the next one is too old.
  """
  @spec next_in(t()) :: non_neg_integer() | :never
  def next_in(%__MODULE__{config: %{retain_ms: :infinity}}), do: :never

  def next_in(%__MODULE__{config: %{retain_ms: age}} = retention) do
    case oldest(retention) do
      {:ok, {_id, ms}} -> max(ms + age - now(), 0)
      :none -> :never
    end
  end

  defp oldest(%{order: order}) do
    if :gb_trees.is_empty(order) do
      :none
    else
      {_number, oldest} = :gb_trees.smallest(order)
      {:ok, oldest}
    end
  end

  # The last one is kept whatever it takes, so that somebody can read it.
  defp over?(%{config: config, kept: kept} = retention, finished_ms, now) do
    map_size(kept) > config.retain_count or
      (retention.bytes > config.retain_bytes and map_size(kept) > 1) or
      too_old?(finished_ms, config.retain_ms, now)
  end

  defp too_old?(_finished_ms, :infinity, _now), do: false
  defp too_old?(finished_ms, age, now), do: now - finished_ms >= age

  defp now, do: System.monotonic_time(:millisecond)
end
