defmodule Snakepit.Jobs.Runner do
  @moduledoc false
  # The process in which one job runs: its call, as any other caller would make it. To
  # kill it is to cancel the call.

  alias Snakepit.{Adapter, Error, Pool, Request}
  alias Snakepit.Jobs.{Board, Progress, Results, Server}
  alias Snakepit.Pool.Calls

  @doc """
  Starts the work. The runner ends with a reason of which `outcome/1` makes the final state.
  """
  @spec start(Board.t(), Results.t(), Server.order()) :: {pid(), reference()}
  def start(board, results, order) do
    :erlang.spawn_opt(fn -> exit({:shutdown, run(board, results, order)}) end, [:link, :monitor])
  end

  @doc """
  The state in which a job ends, and why; and its crash, if that is why.
  """
  @spec outcome(term()) ::
          {String.t(), Error.reason() | nil} | {String.t(), Error.t(), crash :: term()}
  def outcome({:shutdown, :ok}), do: {"completed", nil}
  def outcome({:shutdown, {:error, :worker_timeout}}), do: {"expired", :worker_timeout}
  def outcome({:shutdown, {:error, reason}}), do: {"failed", reason}

  def outcome(crash) do
    message = "The job crashed in Snakepit: #{inspect(crash)}"
    {"failed", %Error{kind: :protocol, message: message}, crash}
  end

  defp run(board, results, %{id: id, options: options} = order) do
    Progress.register(id, board.server)

    with {:ok, request} <- request(order),
         {:ok, pool} <- Pool.fetch_or_start(request.pool) do
      timeout = options.timeout || board.config.job_timeout

      on_lease = fn request ->
        Server.started(board.server, id)
        # The time in the queue of the pool is not the job's.
        %{request | timeout: timeout, started_at: Request.now()}
      end

      run(options.stream, pool, %{request | on_lease: on_lease}, {board, results, id})
    end
  end

  defp request(%{id: id, command: command, args: args, options: options}) do
    # The queue of the jobs is where they wait; that of the pool is only for its last step.
    opts = [
      request_id: id,
      queue_timeout: :infinity,
      pool: options.pool,
      timeout: :infinity,
      # Has the worker tell when the handler has nothing more to say of its progress.
      metadata: Map.put(options.metadata, "snakepit-job", "1")
    ]

    session = if options.session_id, do: [session_id: options.session_id], else: []
    Request.new(command, args, opts ++ session)
  end

  defp run(true, pool, request, job), do: stream(pool, request, job)
  defp run(false, pool, request, job), do: call(pool, request, job)

  defp run(:auto, pool, request, job) do
    case call(pool, request, job) do
      # Refused before anything ran.
      {:error, %Error{kind: :invalid_arguments, message: message}} = refused ->
        if message =~ "call it with execute_stream" do
          hear_out({:ok, refused}, pool, request)
          stream(pool, request, job)
        else
          refused
        end

      result ->
        result
    end
  end

  defp call(pool, request, {board, results, id}) do
    with {:ok, value} <- pool |> Calls.execute(:any, request) |> hear_out(pool, request) do
      # Before any of it is kept.
      if :erlang.external_size(value) > board.config.max_result_bytes do
        {:error, too_large(board, request)}
      else
        {key, rows, rest} = split(value)
        Board.put_value(board, id, key, rest)
        Enum.each(rows, &Results.append(results, &1))
      end
    end
  end

  # What the handler has reported comes another way than its answer, and may be slower.
  defp hear_out(result, %{config: %{adapter: adapter}}, %{request_id: id}) do
    if heard?(result) and Adapter.own_worker?(adapter), do: Progress.await_end(id)
    result
  end

  defp heard?(:ok), do: true
  defp heard?({:ok, _value}), do: true
  defp heard?({:error, %Error{kind: :python}}), do: true
  defp heard?(_not_answered), do: false

  defp split(%{"rows" => rows} = value) when is_list(rows),
    do: {"rows", rows, Map.delete(value, "rows")}

  # In an order that is the same whoever asks.
  defp split(%{"counts" => counts} = value) when is_map(counts),
    do: {"counts", Enum.sort(counts), Map.delete(value, "counts")}

  defp split(value), do: {nil, [], value}

  defp stream(pool, request, {board, results, id}) do
    Board.put_value(board, id, "rows", %{})

    result =
      Calls.stream(pool, :any, request, fn
        # Whether it is a row or the error that ended the stream is known after it.
        %{"is_final" => true} = chunk -> Process.put(:final, chunk)
        chunk -> append(chunk, board, results, id)
      end)

    with :ok <- hear_out(result, pool, request) do
      final = Process.get(:final, %{})
      if map_size(final) > 1, do: append(final, board, results, id)
      :ok
    end
  catch
    :too_large -> {:error, too_large(board, request)}
  end

  defp append(chunk, board, results, id) do
    Results.append(results, Map.delete(chunk, "is_final"))
    if Results.bytes(results) > board.config.max_result_bytes, do: throw(:too_large)
    Board.ring_for_rows(board, id, results)
  end

  defp too_large(board, request) do
    %Error{
      kind: :too_large,
      command: request.command,
      request_id: request.request_id,
      message:
        "The results of the job take more than #{board.config.max_result_bytes} bytes. Raise " <>
          ":max_result_bytes, or have the command write them elsewhere."
    }
  end
end
