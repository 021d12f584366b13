defmodule Snakepit.Test.StreamHelper do
  @moduledoc """
  The three ways to consume a server stream behind one function, and what the tests of streams ask
  of a pool after a stream has ended.
  """

  import ExUnit.Assertions

  alias Snakepit.Test.{Await, PoolHelper}

  @shapes [:callback, :enumerable, :messages]

  def shapes, do: @shapes

  def start_pool(options \\ []) do
    options
    |> Keyword.put_new(:python, modules: ["stream_handlers"])
    |> Keyword.put_new(:max_concurrent_streams, 8)
    |> PoolHelper.start_pool()
  end

  @doc """
  Consumes a stream to its end: `{chunks, ending}`, where the ending is `:ok` or `{:error, reason}`.
  A session goes by the options, or by the functions that have a session in their name.
  """
  def collect(shape, command, args, opts),
    do: consume(shape, command, args, opts, fn _chunk -> :cont end)

  @doc """
  Consumes the first `count` chunks and then stops.
  """
  def take(shape, command, args, opts, count) do
    counter = :counters.new(1, [])

    consume(shape, command, args, opts, fn _chunk ->
      :counters.add(counter, 1, 1)
      if :counters.get(counter, 1) == count, do: :halt, else: :cont
    end)
  end

  @doc """
  Calls `fun` with every chunk until it says `:halt`; what it raises is not held up.
  """
  def consume(:callback, command, args, opts, fun) do
    {chunks, keep} = keeper()

    callback = fn chunk ->
      keep.(chunk)
      fun.(chunk)
    end

    ending =
      case Keyword.pop(opts, :session_id) do
        {nil, opts} ->
          Snakepit.execute_stream(command, args, callback, opts)

        {session, opts} ->
          Snakepit.execute_in_session_stream(session, command, args, callback, opts)
      end

    {chunks.(), ending}
  end

  def consume(:enumerable, command, args, opts, fun) do
    {chunks, keep} = keeper()

    ending =
      try do
        command
        |> Snakepit.stream!(args, opts)
        |> Enum.reduce_while(:ok, fn chunk, :ok ->
          keep.(chunk)
          if fun.(chunk) == :halt, do: {:halt, :ok}, else: {:cont, :ok}
        end)
      rescue
        error in Snakepit.Error -> {:error, error}
      end

    {chunks.(), ending}
  end

  def consume(:messages, command, args, opts, fun) do
    {chunks, keep} = keeper()

    ending =
      with {:ok, stream} <- Snakepit.start_stream(command, args, opts),
           do: receive_chunks(stream, keep, fun)

    {chunks.(), ending}
  end

  defp receive_chunks(%{ref: ref} = stream, keep, fun) do
    receive do
      {:snakepit, ^ref, {:chunk, chunk}} ->
        keep.(chunk)

        case fun.(chunk) do
          :halt ->
            :ok = Snakepit.cancel(stream)

          _more ->
            Snakepit.ack(stream)
            receive_chunks(stream, keep, fun)
        end

      {:snakepit, ^ref, :done} ->
        :ok

      {:snakepit, ^ref, {:error, reason}} ->
        {:error, reason}
    after
      30_000 -> flunk("no message of the stream")
    end
  end

  # What was seen so far stays known when the consumer raises.
  defp keeper do
    key = make_ref()
    Process.put(key, [])

    {fn -> key |> Process.delete() |> Enum.reverse() end,
     fn chunk -> Process.put(key, [chunk | Process.get(key)]) end}
  end

  defdelegate await_free(pool), to: Await
  defdelegate eventually(condition), to: Await
  defdelegate eventually(condition, patience), to: Await

  @doc """
  An endless input, and two functions: how many of it were read, and how often it was closed.
  """
  def counted do
    read = :counters.new(2, [])

    stream =
      Stream.resource(
        fn -> 0 end,
        fn n ->
          :counters.add(read, 1, 1)
          {[%{n: n}], n + 1}
        end,
        fn _n -> :counters.add(read, 2, 1) end
      )

    {stream, fn -> :counters.get(read, 1) end, fn -> :counters.get(read, 2) end}
  end

  @doc """
  Nothing of any stream is left in the mailbox of this process.
  """
  def assert_no_stray_messages do
    {:messages, messages} = Process.info(self(), :messages)
    assert Enum.reject(messages, &match?({:udp, _, _, _, _}, &1)) == []
  end

  @doc """
  What the worker process itself says of its threads, descriptors and memory.
  """
  def process(pool) do
    {:ok, process} = Snakepit.execute("process", %{}, pool: pool)
    process
  end

  def os_pid(pool) do
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    os_pid
  end

  @doc """
  Resident bytes of an operating system process.
  """
  def rss(os_pid) do
    [_total, pages | _] = "/proc/#{os_pid}/statm" |> File.read!() |> String.split()
    String.to_integer(pages) * 4096
  end

  @doc """
  The middle one of some figures.
  """
  def median(figures), do: figures |> Enum.sort() |> Enum.at(div(length(figures), 2))

  @doc """
  The figure that only the given share of all figures exceeds.
  """
  def percentile(figures, share),
    do:
      figures |> Enum.sort() |> Enum.at(min(floor(length(figures) * share), length(figures) - 1))
end
