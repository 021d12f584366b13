defmodule Snakepit.Stdio.Writer do
  @moduledoc false
  # Writes what a caller could not write at once because the pipe was full: a write then suspends the
  # process that makes it until the worker has read, which no deadline ends. What waits stands in the
  # table of the calls, from where whoever gives up takes it away. Cancels go this way
  # too, behind the requests they are for.

  alias Snakepit.Stdio.{Channel, Codec}

  @waiting 2

  @spec start_link(port(), :ets.table(), :atomics.atomics_ref(), Codec.codec()) :: pid()
  def start_link(port, calls, counters, codec),
    do: spawn_link(fn -> loop(port, calls, counters, codec) end)

  @doc """
  Writes a request, now or later. Nobody overtakes those that wait.
  """
  @spec write(Channel.t(), non_neg_integer(), iodata()) :: :ok | :closed
  def write(%Channel{counters: counters} = channel, id, frame) do
    if :atomics.get(counters, @waiting) == 0 and Port.command(channel.port, frame, [:nosuspend]) do
      :ok
    else
      :atomics.add(counters, @waiting, 1)
      true = :ets.insert(channel.calls, {{:frame, id}, frame, :waiting, self()})
      send(channel.writer, {:write, id})
      :ok
    end
  rescue
    ArgumentError -> :closed
  end

  @doc """
  Nobody waits for this call any more: it is not written, or the worker is told.
  """
  @spec cancel(Channel.t(), non_neg_integer()) :: :ok
  def cancel(%Channel{calls: calls, writer: writer}, id) do
    unless unwritten?(calls, id), do: send(writer, {:cancel, id})
    :ok
  end

  @doc """
  Takes a call from those that wait to be written. `false` if it may have been written.
  """
  @spec unwritten?(:ets.table(), non_neg_integer()) :: boolean()
  def unwritten?(calls, id),
    do: match?([{_key, _frame, :waiting, _caller}], :ets.take(calls, {:frame, id}))

  defp loop(port, calls, counters, codec) do
    receive do
      {:write, id} ->
        write_waiting(port, calls, {:frame, id})
        :atomics.sub(counters, @waiting, 1)

      {:cancel, id} ->
        {:ok, frame, _size} = Codec.encode(codec, id, type: "cancel")
        Port.command(port, frame)
    end

    loop(port, calls, counters, codec)
  rescue
    # The port is closed, or the table is gone: so are the calls.
    ArgumentError -> :ok
  end

  # Whoever asked may have given up meanwhile. If the program ends now, nobody can tell whether it
  # has read this one.
  defp write_waiting(port, calls, key) do
    if :ets.update_element(calls, key, {3, :writing}) do
      for {_key, frame, :writing, _caller} <- :ets.lookup(calls, key),
          do: Port.command(port, frame)

      :ets.delete(calls, key)
    end
  end
end
