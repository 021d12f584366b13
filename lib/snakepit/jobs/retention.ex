defmodule Snakepit.Jobs.Retention do
  @moduledoc false
  # Which finished jobs are kept: the last ones, within a number, a size and an age.

  alias Snakepit.Jobs.Job

  defstruct [:config, order: :queue.new(), kept: %{}, bytes: 0]

  @type t :: %__MODULE__{
          config: map(),
          order: :queue.queue(String.t()),
          kept: %{String.t() => {finished_ms :: integer(), bytes :: non_neg_integer()}},
          bytes: non_neg_integer()
        }

  # Ids of deleted jobs stay in the order until there are more of them than of the others.
  @slack 100

  @spec new(map()) :: t()
  def new(config), do: %__MODULE__{config: config}

  @spec add(t(), Job.t()) :: t()
  def add(%__MODULE__{} = retention, %Job{id: id, finished_ms: ms, bytes: bytes}) do
    %{
      retention
      | order: :queue.in(id, retention.order),
        kept: Map.put(retention.kept, id, {ms, bytes}),
        bytes: retention.bytes + bytes
    }
  end

  @spec forget(t(), String.t()) :: t()
  def forget(%__MODULE__{kept: kept} = retention, id) when is_map_key(kept, id) do
    {{_ms, bytes}, kept} = Map.pop!(kept, id)
    compact(%{retention | kept: kept, bytes: retention.bytes - bytes})
  end

  def forget(retention, _id), do: retention

  @doc """
  The jobs that go, oldest first.
  """
  @spec evict(t()) :: {[String.t()], t()}
  def evict(%__MODULE__{} = retention), do: evict(retention, now(), [])

  defp evict(retention, now, evicted) do
    case :queue.peek(retention.order) do
      {:value, id} when not is_map_key(retention.kept, id) ->
        evict(%{retention | order: :queue.drop(retention.order)}, now, evicted)

      {:value, id} ->
        if over?(retention, id, now),
          do: retention |> forget(id) |> evict(now, [id | evicted]),
          else: {Enum.reverse(evicted), retention}

      :empty ->
        {Enum.reverse(evicted), retention}
    end
  end

  @doc """
  Milliseconds until the next one is too old.
  """
  @spec next_in(t()) :: non_neg_integer() | :never
  def next_in(%__MODULE__{config: %{retain_ms: :infinity}}), do: :never

  def next_in(%__MODULE__{config: %{retain_ms: age}} = retention) do
    with {:value, id} <- :queue.peek(retention.order),
         %{^id => {ms, _bytes}} <- retention.kept do
      max(ms + age - now(), 0)
    else
      _none -> :never
    end
  end

  # The last one is kept whatever it takes, so that somebody can read it.
  defp over?(%{config: config, kept: kept} = retention, id, now) do
    map_size(kept) > config.retain_count or
      (retention.bytes > config.retain_bytes and map_size(kept) > 1) or
      too_old?(kept[id], config.retain_ms, now)
  end

  defp too_old?(_kept, :infinity, _now), do: false
  defp too_old?({ms, _bytes}, age, now), do: now - ms >= age

  defp compact(%{order: order, kept: kept} = retention) do
    if :queue.len(order) > 2 * map_size(kept) + @slack,
      do: %{retention | order: :queue.filter(&is_map_key(kept, &1), order)},
      else: retention
  end

  defp now, do: System.monotonic_time(:millisecond)
end
