defmodule Snakepit.Jobs.Watch do
  @moduledoc false
  # Reads the updates of one job off the board, in the process that wants them: first what is there,
  # then what comes, until the last one.

  @behaviour Snakepit.Jobs.Feed

  alias Snakepit.Error
  alias Snakepit.Jobs.{Board, Job}

  @enforce_keys [:board, :id, :ref, :monitor, :seq]
  defstruct [:board, :id, :ref, :monitor, :seq, over: false]

  @type t :: %__MODULE__{}

  @impl true
  @spec open(String.t(), map()) :: {:ok, t()} | {:error, Error.reason()}
  def open(id, options) do
    with {:ok, board} <- Board.fetch(options.jobs),
         {:ok, _job} <- Board.job(board, id) do
      ref = make_ref()
      monitor = Process.monitor(board.server)
      {:ok, %__MODULE__{board: board, id: id, ref: ref, monitor: monitor, seq: options.since_seq}}
    end
  end

  @doc """
  The next updates; `:done` after the last one.
  """
  @impl true
  @spec next(t()) :: {[Job.update()], t()} | :done | {:error, Error.reason()}
  def next(%__MODULE__{} = watch), do: next(watch, :infinity)

  @doc """
  Skips everything until the end, for `timeout` at most.
  """
  @spec await_end(t(), timeout()) :: :done | {:error, Error.reason()}
  def await_end(%__MODULE__{} = watch, timeout), do: skip(watch, deadline(timeout))

  defp skip(watch, deadline) do
    with {updates, watch} when is_list(updates) <- next(watch, deadline),
         do: skip(watch, deadline)
  end

  defp next(%{over: true}, _deadline), do: :done

  defp next(watch, deadline) do
    with :none <- look(watch) do
      Board.hang_bell(watch.board, watch.id, :update, watch.ref)
      # What came in between rang no bell.
      with :none <- look(watch), do: await(watch, deadline)
    end
  rescue
    # The board is gone with its server.
    ArgumentError -> {:error, :draining}
  end

  @impl true
  @spec close(t()) :: :ok
  def close(%__MODULE__{} = watch) do
    Process.demonitor(watch.monitor, [:flush])
    Board.take_bell_down(watch.board, watch.id, :update, watch.ref)
  end

  defp look(%{board: board, id: id, seq: seq} = watch) do
    case Board.updates(board, id, seq) do
      [] ->
        with {:ok, job} <- Board.job(board, id), do: if(over?(job, seq), do: :done, else: :none)

      updates ->
        given(watch, updates)
    end
  end

  # Watched again after its last update.
  defp over?(job, seq), do: Job.final?(job) and seq >= job.seq

  defp given(watch, updates) do
    {updates, seq} = Enum.map_reduce(updates, watch.seq, &count_missed/2)
    over = List.last(updates)["is_final"]
    {updates, %{watch | seq: seq, over: over}}
  end

  defp count_missed(%{"seq" => seq} = update, last) when seq == last + 1, do: {update, seq}

  defp count_missed(%{"seq" => seq} = update, last),
    do: {Map.put(update, "coalesced", seq - last - 1), seq}

  defp await(%{ref: ref, monitor: monitor} = watch, deadline) do
    receive do
      {^ref, :news} -> next(watch, deadline)
      {:DOWN, ^monitor, :process, _pid, _reason} -> {:error, :draining}
    after
      remaining(deadline) -> {:error, :worker_timeout}
    end
  end

  defp deadline(:infinity), do: :infinity
  defp deadline(timeout), do: System.monotonic_time(:millisecond) + timeout

  defp remaining(:infinity), do: :infinity
  defp remaining(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)
end
