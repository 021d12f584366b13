defmodule Snakepit.Stdio.Owner do
  @moduledoc false
  # Owns the port of one worker process: cuts its output into frames and passes each, unread, to the
  # caller whose id stands first in it. The worker's own process, which started it, hears what
  # becomes of the port.

  use GenServer

  require Logger

  alias Snakepit.Stdio.{Channel, Codec, Frames, Writer}
  alias Snakepit.Worker.OsProcess

  @next_id 1
  # What the length of a frame can say.
  @largest 0xFFFFFFFF

  defstruct [:port, :worker, :channel, :frames, callers: %{}, strange: false, over: false]

  @type program :: {Path.t(), [String.t()], %{String.t() => String.t()}}

  @doc """
  Starts a program, linked to the calling process, which gets the messages of its port other than
  data, and `{owner, {:broken, text}}` when the program does not keep to the protocol.
  """
  @spec open(program(), Codec.codec(), pos_integer(), String.t()) ::
          {:ok, OsProcess.t(), Channel.t()} | {:error, Snakepit.Error.t()}
  def open(program, codec, limit, worker_id) do
    with {:ok, owner} <- GenServer.start_link(__MODULE__, {self(), codec, limit, worker_id}),
         do: GenServer.call(owner, {:open, program})
  end

  @doc """
  Has the calls of this process cancelled when it ends. Said once for each worker process.
  """
  @spec watch_caller(Channel.t()) :: :ok
  def watch_caller(%Channel{owner: owner, worker_id: worker_id}) do
    key = {__MODULE__, worker_id}

    if Process.get(key) != owner do
      send(owner, {:caller, self()})
      Process.put(key, owner)
    end

    :ok
  end

  @doc """
  The caller does not wait for this call any more.
  """
  @spec forget(Channel.t(), non_neg_integer()) :: :ok
  def forget(%Channel{calls: calls} = channel, id) do
    if :ets.take(calls, id) != [], do: Writer.cancel(channel, id)
    :ok
  rescue
    ArgumentError -> :ok
  end

  @doc """
  The worker does not keep to the protocol, as a caller has found.
  """
  @spec broken(Channel.t(), String.t()) :: :ok
  def broken(%Channel{owner: owner}, text) do
    send(owner, {:broken, text})
    :ok
  end

  @doc """
  Ends every call and takes no more. The port stays, until `stop/1`.
  """
  @spec close_calls(Channel.t()) :: :ok
  def close_calls(%Channel{owner: owner}) do
    GenServer.call(owner, :close_calls, :infinity)
  catch
    :exit, _gone -> :ok
  end

  @spec stop(Channel.t()) :: :ok
  def stop(%Channel{owner: owner}) do
    Process.unlink(owner)
    Process.exit(owner, :kill)
    :ok
  end

  @impl true
  def init({worker, codec, limit, worker_id}) do
    # Of the port's end it hears as of everything else.
    Process.flag(:trap_exit, true)
    Logger.metadata(worker_id: worker_id)
    limit = min(limit, @largest)
    calls = :ets.new(__MODULE__, [:public, write_concurrency: true])
    state = %__MODULE__{worker: worker, frames: Frames.new(codec, limit)}
    {:ok, %{state | channel: {calls, codec, limit, worker_id}}}
  end

  @impl true
  def handle_call({:open, {executable, args, env}}, _from, state) do
    case OsProcess.open(executable, args, env, :frames) do
      {:ok, process} ->
        channel = channel(process, state.channel)
        {:reply, {:ok, process, channel}, %{state | port: process.port, channel: channel}}

      {:error, error} ->
        {:stop, {:shutdown, :not_started}, {:error, error}, state}
    end
  end

  def handle_call(:close_calls, _from, state),
    do: {:reply, :ok, close(state, {:error, :worker_exited})}

  @impl true
  def handle_info({port, {:data, _nobody_waits}}, %{port: port, over: true} = state),
    do: {:noreply, state}

  def handle_info({port, {:data, data}}, %{port: port} = state) do
    case Frames.feed(state.frames, data) do
      {frames, rest} ->
        {:noreply, Enum.reduce(frames, %{state | frames: rest}, &route/2)}

      {:garbage, frames, text} ->
        {:noreply, frames |> Enum.reduce(state, &route/2) |> break(stray(text))}
    end
  end

  def handle_info({:caller, pid}, state) do
    monitor = Process.monitor(pid)
    {:noreply, put_in(state.callers[monitor], pid)}
  end

  def handle_info({:DOWN, monitor, :process, pid, _reason}, state) do
    {_pid, state} = pop_in(state.callers[monitor])

    for [id] <- select(state.channel, {:"$1", :_, pid}, [:"$1"]),
        do: forget(state.channel, id)

    {:noreply, state}
  end

  def handle_info({:broken, text}, state), do: {:noreply, break(state, text)}

  def handle_info({:EXIT, worker, reason}, %{worker: worker} = state),
    do: {:stop, {:shutdown, reason}, state}

  # The writer, which has nothing left to write to.
  def handle_info({:EXIT, pid, _reason}, state) when is_pid(pid), do: {:noreply, state}

  # Its exit status, or its end without one.
  def handle_info({:EXIT, port, _reason} = news, %{port: port} = state), do: pass_on(news, state)
  def handle_info({port, _news} = news, %{port: port} = state), do: pass_on(news, state)
  def handle_info(_late, state), do: {:noreply, state}

  defp pass_on(news, state) do
    send(state.worker, news)
    {:noreply, state}
  end

  defp channel(process, {calls, codec, limit, worker_id}) do
    counters = :atomics.new(2, signed: true)

    %Channel{
      port: process.port,
      owner: self(),
      writer: Writer.start_link(process.port, calls, counters, codec),
      calls: calls,
      counters: counters,
      codec: codec,
      worker_id: worker_id,
      target: "pipe:#{process.os_pid}",
      max_message_size: limit
    }
  end

  # -- frames

  defp route({:frame, data}, %{channel: %{codec: codec}} = state) do
    case id(codec, data) do
      {:ok, id} -> answer(state, id, {:ok, unshared(data)})
      :error -> break(state, "wrote a frame without an id: " <> Codec.excerpt(data))
    end
  end

  defp route({:too_large, id, size}, %{channel: %{max_message_size: limit}} = state) do
    text = "the reply has #{size} bytes, and :max_message_size is #{limit}"
    answer(state, id, {:error, %Snakepit.Error{kind: :too_large, message: text}})
  end

  # A worker of another kind may put it elsewhere.
  defp id(codec, data) do
    with :error <- Codec.id(codec, data),
         {:ok, %{"id" => id}} when is_integer(id) <- Codec.decode(codec, data) do
      {:ok, id}
    else
      {:ok, id} when is_integer(id) -> {:ok, id}
      _no_id -> :error
    end
  end

  defp answer(%{channel: channel} = state, id, answer) do
    case take(channel, id) do
      [{^id, ref, _pid}] ->
        send(ref, {ref, answer})
        state

      [] ->
        strange(state, id)
    end
  end

  # Somebody gave up at the same time; but not on an id that nobody ever had.
  defp strange(%{strange: false, channel: channel} = state, id) do
    if id in 1..:atomics.get(channel.counters, @next_id)//1 do
      state
    else
      Logger.warning("The worker answered a call that was never made (id #{id}); it is ignored.")
      %{state | strange: true}
    end
  end

  defp strange(state, _id), do: state

  # A frame of its own does not keep the rest of what came with it alive.
  defp unshared(data) do
    if :binary.referenced_byte_size(data) > 4 * byte_size(data),
      do: :binary.copy(data),
      else: data
  end

  # -- end

  defp break(%{over: true} = state, _text), do: state

  defp break(state, text) do
    send(state.worker, {self(), {:broken, text}})
    message = "The worker #{text}. It is replaced."
    close(state, {:error, %Snakepit.Error{kind: :protocol, message: message}})
  end

  defp close(%{channel: channel} = state, answer) do
    for [id, ref] <- select(channel, {:"$1", :"$2", :_}, [:"$1", :"$2"]) do
      # What still waited to be written has not run anywhere.
      unwritten = Writer.unwritten?(channel.calls, id)
      send(ref, {ref, if(unwritten, do: {:error, :grpc_unavailable}, else: answer)})
    end

    delete(channel)
    %{state | over: true}
  end

  defp take(%{calls: calls}, id) do
    :ets.take(calls, id)
  rescue
    ArgumentError -> []
  end

  defp select(%{calls: calls}, head, result) do
    :ets.select(calls, [{head, [], [result]}])
  rescue
    ArgumentError -> []
  end

  defp delete(%{calls: calls}) do
    :ets.delete(calls)
    :ok
  rescue
    ArgumentError -> :ok
  end

  defp stray(text) do
    "wrote #{text} where only frames may stand: its standard output is the channel to Elixir, " <>
      "so what it prints has to go to standard error"
  end
end
