defmodule Snakepit.Jobs.Batch do
  @moduledoc false
  # A batch: items of an enumerable become jobs, no more at a time than may run, and the results of
  # each are given as they come. An element is asked for only when there is room for it.

  @behaviour Snakepit.Jobs.Feed

  alias Snakepit.{Error, Feeder}
  alias Snakepit.Jobs.{BatchItem, Board, Echo, InOrder, Outcome, Server}

  @enforce_keys [:board, :options, :ref, :monitor, :feeder, :room, :echo, :order]
  defstruct [
    :board,
    :options,
    :ref,
    :monitor,
    :feeder,
    :room,
    :echo,
    :order,
    jobs: %{},
    held_up: nil,
    retry: false,
    numbers: 0,
    asked: false,
    input: :open
  ]

  @type t :: %__MODULE__{}

  @impl true
  @spec open(Enumerable.t(), map()) :: {:ok, t()} | {:error, Error.reason()}
  def open(enumerable, options) do
    with {:ok, board} <- Board.fetch(options.jobs) do
      # Jobs that go on without their batch send nothing after it.
      ref = :erlang.alias([:explicit_unalias])

      {:ok,
       %__MODULE__{
         board: board,
         options: options,
         ref: ref,
         monitor: Process.monitor(board.server),
         feeder: start_feeder(enumerable, ref),
         room: options.max_concurrency || board.config.max_concurrent_jobs,
         echo: Echo.new(options),
         order: InOrder.new(options.ordered)
       }}
    end
  end

  @doc """
  The next results; `:done` when every item has had its last one.
  """
  @impl true
  @spec next(t()) :: {[map()], t()} | :done | {:error, Error.reason()}
  def next(%__MODULE__{} = batch) do
    cond do
      batch.input == :over and batch.jobs == %{} and batch.held_up == nil -> :done
      batch.held_up != nil and batch.retry -> admit(batch, batch.held_up)
      true -> batch |> ask() |> await()
    end
  end

  @impl true
  @spec close(t()) :: :ok
  def close(%__MODULE__{} = batch) do
    Process.demonitor(batch.monitor, [:flush])
    :erlang.unalias(batch.ref)
    unless batch.options.detach, do: Enum.each(Map.keys(batch.jobs), &delete(batch, &1))
    # Also takes away what the jobs have said.
    Feeder.stop(batch.feeder, batch.ref)
  end

  # -- input

  defp start_feeder(enumerable, ref) do
    consumer = self()

    Feeder.start(ref, fn ->
      if asked?(ref),
        do: Enum.reduce_while(enumerable, :over, &give(&1, &2, consumer, ref)),
        else: :over
    end)
  end

  defp give(item, :over, consumer, ref) do
    send(consumer, {ref, {:item, item}})
    if asked?(ref), do: {:cont, :over}, else: {:halt, :over}
  end

  defp asked?(ref) do
    receive do
      {^ref, :more} -> true
      {^ref, :over} -> false
    end
  end

  # An item takes room until its last result is given.
  defp ask(%{asked: false, input: :open, held_up: nil} = batch) do
    busy = map_size(batch.jobs) + Echo.waiting(batch.echo) + InOrder.held(batch.order)

    if busy < batch.room do
      {feeder, _monitor} = batch.feeder
      send(feeder, {batch.ref, :more})
      %{batch | asked: true}
    else
      batch
    end
  end

  defp ask(batch), do: batch

  defp await(%{ref: ref, monitor: monitor} = batch) do
    receive do
      {^ref, {:item, item}} -> take(%{batch | asked: false}, item)
      {^ref, {:finished, id}} -> finished(batch, id)
      {^ref, :room} -> next(%{batch | retry: true})
      {^ref, {:input, :over}} -> next(%{batch | input: :over})
      {^ref, {:input, {:raised, kind, reason, trace}}} -> :erlang.raise(kind, reason, trace)
      {^ref, _monitor, :process, _feeder, :normal} -> next(batch)
      {^ref, _monitor, :process, _feeder, reason} -> exit({reason, {__MODULE__, :next, 1}})
      {:DOWN, ^monitor, :process, _server, _reason} -> {:error, :draining}
    end
  end

  # -- items

  defp take(batch, given) do
    number = batch.numbers
    batch = %{batch | numbers: number + 1}

    case BatchItem.new(given, number, batch.options) do
      {:ok, item} -> meet(batch, item)
      {:error, item, error} -> last_result(batch, item, nil, BatchItem.error(error))
    end
  end

  defp meet(batch, item) do
    case Echo.meet(batch.echo, item) do
      {:new, echo} -> admit(%{batch | echo: echo}, item)
      {:answered, job_id, result} -> last_result(batch, item, job_id, result)
      {:waits, echo} -> next(%{batch | echo: echo})
    end
  end

  defp admit(batch, item) do
    order = %{
      command: item.command,
      args: item.args,
      options: item.options,
      owner: if(batch.options.detach, do: nil, else: self()),
      notify: batch.ref
    }

    case Server.submit(batch.board.server, order) do
      {:ok, id} ->
        batch = %{batch | jobs: Map.put(batch.jobs, id, item), held_up: nil}
        {[BatchItem.result(item, id, {"submitted"})], batch}

      # The queue is full, and the server tells when it is not.
      {:error, :too_many_jobs} ->
        next(%{batch | held_up: item, retry: false})

      {:error, reason} ->
        settle(%{batch | held_up: nil}, item, nil, BatchItem.error(reason))
    end
  end

  defp finished(batch, id) do
    case Map.pop(batch.jobs, id) do
      {nil, _jobs} ->
        next(batch)

      {item, jobs} ->
        result = batch |> outcome(id) |> BatchItem.final()
        unless batch.options.detach, do: delete(batch, id)
        settle(%{batch | jobs: jobs}, item, id, result)
    end
  end

  defp outcome(%{board: board}, id) do
    with {:ok, job} <- Board.job(board, id), do: Outcome.of(board, job)
  end

  defp delete(%{board: board}, id), do: Server.delete(board.server, id)

  # The item and those that had its id, and waited for this.
  defp settle(batch, item, job_id, result) do
    {waiting, echo} = Echo.settle(batch.echo, item, job_id, result)

    Enum.reduce([item | waiting], {[], %{batch | echo: echo}}, fn item, {given, batch} ->
      {more, batch} = last_result(batch, item, job_id, result)
      {given ++ more, batch}
    end)
  end

  defp last_result(batch, item, job_id, result) do
    {results, order} =
      InOrder.put(batch.order, item.number, BatchItem.result(item, job_id, result))

    {results, %{batch | order: order}}
  end
end
