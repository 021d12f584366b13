defmodule Snakepit.Jobs.Pages do
  @moduledoc false
  # Reads the rows of one job in chunks, also while it still adds some.

  @behaviour Snakepit.Jobs.Feed

  alias Snakepit.Error
  alias Snakepit.Jobs.{Board, Job, Results}

  @enforce_keys [:board, :id, :ref, :monitor, :size, :max_bytes, :follow, :from, :index]
  defstruct [
    :board,
    :id,
    :ref,
    :monitor,
    :size,
    :max_bytes,
    :follow,
    :from,
    :index,
    :total,
    over: false
  ]

  @type t :: %__MODULE__{}

  @large 262_144

  @impl true
  @spec open(String.t(), map()) :: {:ok, t()} | {:error, Error.reason()}
  def open(id, options) do
    with {:ok, board} <- Board.fetch(options.jobs),
         {:ok, _job} <- Board.job(board, id),
         {:ok, {from, index, over}} <- position(id, options.cursor) do
      {:ok,
       %__MODULE__{
         board: board,
         id: id,
         ref: make_ref(),
         monitor: Process.monitor(board.server),
         size: options.chunk_size,
         max_bytes: options.max_chunk_bytes,
         follow: options.follow,
         from: from,
         index: index,
         over: over
       }}
    end
  end

  @doc """
  The next chunk; `:done` after the final one.
  """
  @impl true
  @spec next(t()) :: {[map()], t()} | :done | {:error, Error.reason()}
  def next(%__MODULE__{over: true}), do: :done

  def next(%__MODULE__{} = pages) do
    # In this order: when the job is over, all its rows are there.
    with {:ok, job} <- Board.job(pages.board, pages.id), do: next(pages, job)
  rescue
    ArgumentError -> gone(pages)
  end

  @impl true
  @spec close(t()) :: :ok
  def close(%__MODULE__{monitor: monitor}) do
    Process.demonitor(monitor, [:flush])
    :ok
  end

  defp next(pages, %Job{results: nil} = job) do
    cond do
      Job.final?(job) -> ended(pages, job, [], pages.from)
      pages.follow -> await(pages, :update)
      true -> last(pages, job, [], 0)
    end
  end

  defp next(pages, %Job{results: results} = job) do
    case chunk_end(pages, results) do
      {:full, to} ->
        if Job.final?(job) and to == Results.count(results),
          do: ended(pages, job, rows(pages, results, to), to),
          else: chunk(pages, job, rows(pages, results, to), to, false)

      {:open, to} ->
        cond do
          Job.final?(job) -> ended(pages, job, rows(pages, results, to), to)
          pages.follow -> await(pages, full_at(pages, results))
          true -> last(pages, job, rows(pages, results, to), to)
        end
    end
  end

  defp chunk_end(pages, results),
    do: Results.chunk_end(results, pages.from, pages.size, pages.max_bytes)

  defp full_at(pages, results) do
    {:rows, pages.from + pages.size, Results.offset(results, pages.from) + pages.max_bytes}
  end

  # A job that did not complete has given what it could; why it ended follows.
  defp ended(pages, %Job{state: "completed"} = job, rows, to), do: last(pages, job, rows, to)
  defp ended(_pages, job, [], _to), do: {:error, job.reason}
  defp ended(pages, job, rows, to), do: chunk(pages, job, rows, to, false)

  defp last(pages, job, rows, to) do
    {[chunk], pages} = chunk(pages, job, rows, to, true)
    {[end_cursor(chunk, pages, job)], %{pages | over: true}}
  end

  # After it there is nothing, unless the job goes on.
  defp end_cursor(chunk, pages, %Job{state: "completed", id: id}),
    do: %{chunk | "cursor" => cursor(id, pages.from, "end")}

  defp end_cursor(chunk, _pages, _job), do: chunk

  defp chunk(%{id: id, index: index} = pages, job, rows, to, final) do
    {key, rows} = content(pages, rows)
    pages = count_chunks(pages, job)

    chunk = %{
      "job_id" => id,
      key => rows,
      "chunk_index" => index,
      # One whose last chunk was full when it was given, and turned out to be the last only then,
      # has an empty one more.
      "total_chunks" => pages.total && max(pages.total, index + 1),
      "is_final" => final,
      "cursor" => cursor(id, to, index + 1)
    }

    {[chunk], %{pages | from: to, index: index + 1}}
  end

  # Nobody knows before its end.
  defp count_chunks(%{total: nil} = pages, %Job{state: "completed", results: results}) do
    chunks = if results, do: Results.chunks(results, pages.size, pages.max_bytes), else: 0
    %{pages | total: max(chunks, 1)}
  end

  defp count_chunks(pages, _job), do: pages

  defp rows(%{from: from}, results, to) do
    make_room(Results.offset(results, to) - Results.offset(results, from))
    Results.slice(results, from, to)
  end

  # The last chunk is garbage by now, and would be copied as often as the heap grows for this one.
  # Where that is not most of the heap, it is not worth while.
  defp make_room(weight) when weight > @large do
    {:total_heap_size, words} = Process.info(self(), :total_heap_size)
    if words * :erlang.system_info(:wordsize) < 8 * weight, do: :erlang.garbage_collect()
  end

  defp make_room(_small), do: true

  defp content(%{board: board, id: id}, rows) do
    case Board.key(board, id) do
      "counts" -> {"counts", Map.new(rows)}
      _rows -> {"rows", rows}
    end
  end

  defp await(%{board: board, id: id, ref: ref, monitor: monitor} = pages, event) do
    Board.hang_bell(board, id, event, ref)

    # What came in between rang no bell.
    if come?(board, id, event) do
      Board.take_bell_down(board, id, event, ref)
      next(pages)
    else
      receive do
        {^ref, :news} -> next(pages)
        {:DOWN, ^monitor, :process, _pid, _reason} -> {:error, :draining}
      end
    end
  end

  defp come?(board, id, event) do
    case {Board.job(board, id), event} do
      {{:ok, %Job{results: nil} = job}, :update} ->
        Job.final?(job)

      {{:ok, job}, {:rows, rows, bytes}} ->
        Job.final?(job) or Results.reached?(job.results, rows, bytes)

      {_begun_or_gone, _event} ->
        true
    end
  end

  defp gone(%{board: board, id: id}) do
    with {:ok, _job} <- Board.job(board, id), do: {:error, :draining}
  end

  # -- where to go on

  defp cursor(id, from, index), do: Base.url_encode64("#{id}:#{from}:#{index}", padding: false)

  defp position(_id, nil), do: {:ok, {0, 0, false}}

  defp position(id, cursor) do
    with {:ok, text} <- Base.url_decode64(cursor, padding: false),
         [^id, from, index] <- String.split(text, ":"),
         {from, ""} when from >= 0 <- Integer.parse(from),
         {:ok, index, over} <- index(index) do
      {:ok, {from, index, over}}
    else
      _other ->
        {:error,
         %Error{
           kind: :invalid_arguments,
           message:
             "#{inspect(cursor)} is no cursor of job #{id}. Take the \"cursor\" of one of its chunks."
         }}
    end
  end

  defp index("end"), do: {:ok, 0, true}

  defp index(text) do
    with {index, ""} when index >= 0 <- Integer.parse(text), do: {:ok, index, false}
  end
end
