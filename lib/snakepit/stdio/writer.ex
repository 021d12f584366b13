defmodule Snakepit.Stdio.Writer do
  @moduledoc false
  # Writes what a caller could not write at once because the pipe was full: a write then suspends the
  # process that makes it until the worker has read, which no deadline ends. Cancels go this way
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
      send(channel.writer, {:write, id, frame})
      :ok
    end
  rescue
    ArgumentError -> :closed
  end

  @doc """
  Tells the worker that nobody waits for this call any more.
  """
  @spec cancel(pid(), non_neg_integer()) :: :ok
  def cancel(writer, id) do
    send(writer, {:cancel, id})
    :ok
  end

  defp loop(port, calls, counters, codec) do
    receive do
      {:write, id, frame} ->
        # Whoever asked may have given up meanwhile.
        if :ets.member(calls, id), do: Port.command(port, frame)
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
end
