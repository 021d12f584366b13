defmodule Snakepit.Telemetry.Cancellations do
  @moduledoc false
  # Joins the two halves of a cancellation: the caller knows why, and the worker, a little later, how
  # long its handler took to end. The reason may come second, or never: a caller that was
  # killed gives none.

  use GenServer

  alias Snakepit.Telemetry

  # How long the worker's half waits for the caller's, and the other way round.
  @patience 250
  @keep 60_000
  @most 10_000

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc """
  The caller has cancelled this call, for this reason.
  """
  @spec because(String.t(), atom()) :: :ok
  def because(request_id, why), do: GenServer.cast(__MODULE__, {:because, request_id, why})

  @doc """
  The handler of a cancelled call has ended.
  """
  @spec stopped(map(), non_neg_integer()) :: :ok
  def stopped(metadata, duration),
    do: GenServer.cast(__MODULE__, {:stopped, metadata, duration})

  # `whys` holds reasons whose handler still runs, `ends` handlers whose reason is not here yet.
  @impl true
  def init(_options), do: {:ok, %{whys: %{}, ends: %{}}}

  @impl true
  def handle_cast({:because, id, why}, %{whys: whys, ends: ends} = state) do
    case Map.pop(ends, id) do
      {nil, _ends} when map_size(whys) >= @most ->
        {:noreply, state}

      {nil, _ends} ->
        Process.send_after(self(), {:forget, id}, @keep)
        {:noreply, %{state | whys: Map.put(whys, id, why)}}

      {{metadata, duration}, ends} ->
        Telemetry.cancelled(metadata, why, duration)
        {:noreply, %{state | ends: ends}}
    end
  end

  def handle_cast({:stopped, %{request_id: id} = metadata, duration}, state) do
    case Map.pop(state.whys, id) do
      {nil, _whys} when map_size(state.ends) >= @most ->
        Telemetry.cancelled(metadata, :caller_down, duration)
        {:noreply, state}

      {nil, _whys} ->
        Process.send_after(self(), {:no_reason, id}, @patience)
        {:noreply, %{state | ends: Map.put(state.ends, id, {metadata, duration})}}

      {why, whys} ->
        Telemetry.cancelled(metadata, why, duration)
        {:noreply, %{state | whys: whys}}
    end
  end

  @impl true
  def handle_info({:forget, id}, state),
    do: {:noreply, %{state | whys: Map.delete(state.whys, id)}}

  def handle_info({:no_reason, id}, state) do
    {ended, ends} = Map.pop(state.ends, id)

    with {metadata, duration} <- ended,
         do: Telemetry.cancelled(metadata, :caller_down, duration)

    {:noreply, %{state | ends: ends}}
  end

  def handle_info(_unexpected, state), do: {:noreply, state}
end
