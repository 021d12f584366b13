defmodule Snakepit.Worker.Link do
  @moduledoc false
  # One start of the program of a worker, and what connects us to it: the operating system process,
  # the channel for calls, and its output. What the worker's process hears of them is made sense of
  # here, so that its lifecycle is the same for every adapter.

  alias Snakepit.{Adapter, Error, GRPC, Stdio}
  alias Snakepit.Adapter.Connection
  alias Snakepit.Pool.{Shared, Slots}
  alias Snakepit.Worker.{Address, Channel, CommandLine, Crash, Directory, OsProcess, Output}

  # `refusal` is why the latest question to a program that is not ready yet was not answered.
  defstruct [:id, :config, :process, :address, :channel, :sink, :refusal, :output]

  @type t :: %__MODULE__{
          id: String.t(),
          config: Snakepit.Config.t(),
          process: OsProcess.t() | nil,
          address: Address.t() | nil,
          channel: Channel.t() | nil,
          sink: Stdio.Output.t() | nil,
          refusal: Error.reason() | nil,
          output: Output.t()
        }
  @type event ::
          {:items, [Output.item()], t()}
          | {:ended, String.t()}
          | {:quiet, t()}
          | :unknown

  # A port that gives no exit status so long after the end of its process may never give one: somebody
  # else holds the pipes. Callers are told then; of a lost connection they know by themselves.
  @pipe_wait 50

  # So many paths of sockets are told apart.
  @paths 100_000

  @doc """
  Before the first start.
  """
  @spec new(String.t(), Snakepit.Config.t()) :: t()
  def new(id, config), do: %__MODULE__{id: id, config: config, output: Output.new()}

  @doc """
  Starts the program for the `start`th time.
  """
  @spec open(Shared.t(), Slots.worker(), String.t(), non_neg_integer()) ::
          {:ok, t()} | {:error, Error.t()}
  def open(%Shared{config: config} = pool, index, id, start) do
    link = new(id, config)

    with :ok <- library(config.protocol) do
      case config.protocol do
        :grpc -> open_grpc(link, pool, index, start)
        codec -> open_stdio(link, pool, index, codec)
      end
    end
  end

  defp library(:json), do: :ok
  defp library(_needs_it), do: GRPC.Native.loaded()

  defp open_grpc(%{config: config} = link, pool, index, start) do
    with {:ok, address} <- Address.choose(pool, index, start),
         {:ok, command} <- CommandLine.build(config, link.id, address),
         {:ok, process} <- OsProcess.open(command.executable, command.args, command.env, :text) do
      link = %{link | address: address, process: process}
      # A program of another kind does not tell when it listens: it is asked.
      if Adapter.own_worker?(config.adapter), do: {:ok, link}, else: connect(link)
    end
  end

  defp open_stdio(link, pool, index, codec) do
    with {:ok, link, path} <- open_sink(link, pool, index),
         {:error, error} <- open_pipes(link, path, codec) do
      clean(link)
      {:error, error}
    end
  end

  # Only our own workers know of it; the text of others stays their own.
  defp open_sink(%{config: config} = link, %{directory: directory}, index) do
    if Adapter.own_worker?(config.adapter) do
      # A program that was left alone may be about to clear its own away. It is counted by nobody when
      # the process of its worker was killed.
      path =
        Directory.socket_path(directory, index, rem(System.unique_integer([:positive]), @paths))

      with :ok <- Directory.ensure(directory),
           {:ok, sink} <- Stdio.Output.listen(path),
           do: {:ok, %{link | sink: sink, address: {:unix, path}}, path}
    else
      {:ok, link, nil}
    end
  end

  defp open_pipes(%{config: config} = link, path, codec) do
    with {:ok, command} <- CommandLine.build(config, link.id, nil, path),
         program = {command.executable, command.args, command.env},
         {:ok, process, channel} <-
           Stdio.Owner.open(program, codec, config.max_message_size, link.id),
         do: {:ok, %{link | process: process, channel: channel}}
  end

  @doc """
  Connects to a program that listens.
  """
  @spec connect(t()) :: {:ok, t()} | {:error, Error.t()}
  def connect(%__MODULE__{config: config, address: address} = link) do
    opened =
      GRPC.Channel.open(Address.target(address),
        token: Address.token(address),
        max_message_size: config.max_message_size,
        connect_timeout: config.connection_timeout,
        worker_id: link.id
      )

    with {:ok, channel} <- opened, do: {:ok, %{link | channel: channel}}
  end

  @doc """
  May a health check fail because the program is not ready yet?
  """
  @spec patient?(t()) :: boolean()
  def patient?(%__MODULE__{config: config}),
    do: config.protocol == :grpc and not Adapter.own_worker?(config.adapter)

  @doc """
  Keeps for an error why the program did not show itself ready.
  """
  @spec refused(t(), {:ok, map()} | {:error, Error.reason()}) :: t()
  def refused(link, {:error, reason}), do: %{link | refusal: reason}
  def refused(link, {:ok, _not_healthy}), do: %{link | refusal: :worker_busy}

  @doc """
  The program has described itself; from now on it can be called.
  """
  @spec ready(t(), map()) :: {:ok, t()} | {:error, term()}
  def ready(%__MODULE__{channel: %GRPC.Channel{} = channel} = link, health) do
    channel = GRPC.Channel.negotiate(channel, health)

    with true <- patient?(link),
         {:tcp, port, _token} <- link.address,
         {:ok, channel} <- Connection.open(link.config.adapter, channel, port) do
      {:ok, %{link | channel: channel, refusal: nil}}
    else
      {:error, reason} -> {:error, reason}
      _own_worker -> {:ok, %{link | channel: channel, refusal: nil}}
    end
  end

  def ready(link, _health), do: {:ok, link}

  @doc """
  What a message means for this link.
  """
  @spec message(t(), term()) :: event()
  def message(%__MODULE__{process: %{port: port}} = link, {port, {:data, data}}),
    do: output(link, data)

  def message(%__MODULE__{process: %{port: port}}, {port, {:exit_status, status}}),
    do: {:ended, "ended with status #{status}"}

  def message(%__MODULE__{process: %{port: port} = process} = link, {port, :ended}) do
    OsProcess.clear(process)

    with %Stdio.Channel{} <- link.channel,
         do: Process.send_after(self(), {port, :still_no_status}, @pipe_wait)

    {:quiet, link}
  end

  def message(%__MODULE__{process: %{port: port}} = link, {port, :still_no_status}),
    do: {:quiet, close_channel(link)}

  def message(%__MODULE__{process: %{port: port}}, {port, :no_status}),
    do: {:ended, "ended, and a process that left its group holds its output"}

  def message(%__MODULE__{process: %{port: port}}, {:EXIT, port, reason}),
    do: {:ended, "ended without a status (#{inspect(reason)})"}

  def message(%__MODULE__{channel: %{owner: owner}}, {owner, {:broken, what}}),
    do: {:ended, "was stopped: it " <> what}

  def message(%__MODULE__{channel: %{owner: owner}}, {:EXIT, owner, reason}),
    do: {:ended, "was stopped: the process that reads from it is gone (#{inspect(reason)})"}

  def message(%__MODULE__{sink: %{socket: nil} = sink} = link, {:output, socket}),
    do: {:quiet, %{link | sink: Stdio.Output.connected(sink, socket)}}

  def message(%__MODULE__{sink: %{socket: socket}} = link, {:tcp, socket, data}),
    do: output(link, Stdio.Output.line(data))

  def message(%__MODULE__{sink: %{socket: socket}} = link, {:tcp_passive, socket}) do
    Stdio.Output.more(socket)
    {:quiet, link}
  end

  def message(_link, _late), do: :unknown

  defp output(link, data) do
    {items, output} = fed(link.output, data)
    {:items, items, %{link | output: output}}
  end

  defp fed(output, data) when is_binary(data), do: Output.read(output, data)
  defp fed(output, line), do: Output.feed(output, line)

  @doc """
  How many lines of the program were dropped since this was last asked.
  """
  @spec dropped(t()) :: {non_neg_integer(), t()}
  def dropped(%__MODULE__{output: output} = link) do
    {dropped, output} = Output.dropped(output)
    {dropped, %{link | output: output}}
  end

  @doc """
  The last words of a program that has ended. Nobody who called it waits for them.
  """
  @spec last_words(t()) :: {[Output.item()], t()}
  def last_words(%__MODULE__{sink: nil} = link), do: {[], link}

  def last_words(%__MODULE__{sink: sink} = link) do
    close_channel(link)
    # Whatever is left of it could hold the socket open.
    if link.process, do: OsProcess.kill(link.process)

    sink
    |> Stdio.Output.drain()
    |> Enum.reduce({[], link}, fn line, {items, link} ->
      {:items, more, link} = output(link, line)
      {items ++ more, link}
    end)
  end

  @spec crashed(t(), String.t()) :: Error.t()
  def crashed(%__MODULE__{refusal: nil} = link, what),
    do: Crash.error(link.id, link.process, link.output, what)

  def crashed(%__MODULE__{refusal: refusal} = link, what),
    do: crashed(%{link | refusal: nil}, "#{what} (asked for its health: #{inspect(refusal)})")

  # -- end

  @doc """
  Ends every call, and lets the program say farewell.
  """
  @spec close_channel(t()) :: t()
  def close_channel(%__MODULE__{channel: nil} = link), do: link

  # The one who owns the port goes on to tell what becomes of it.
  def close_channel(%__MODULE__{channel: channel} = link) do
    Channel.close(channel)
    link
  end

  @spec terminate(t()) :: :ok
  def terminate(%__MODULE__{process: nil}), do: :ok
  def terminate(%__MODULE__{process: process}), do: OsProcess.terminate(process)

  @doc """
  Waits until the program has ended, at `deadline` at the latest, or kills it at once.
  """
  @spec await_end(t(), :end | :kill, integer(), (Output.item() -> term())) :: t()
  def await_end(%__MODULE__{process: nil} = link, _how, _deadline, _on_item), do: link

  def await_end(%__MODULE__{process: process} = link, how, deadline, on_item) do
    await = if how == :kill, do: &OsProcess.await_kill/4, else: &OsProcess.await_end/4

    link =
      await.(process, deadline, link, fn data, link ->
        {:items, items, link} = output(link, data)
        Enum.each(items, on_item)
        link
      end)

    {items, link} = last_words(link)
    Enum.each(items, on_item)
    link
  end

  @doc """
  Ends every call, and kills what is left of the program and its children.
  """
  @spec discard(t()) :: :ok
  def discard(%__MODULE__{process: process, channel: channel} = link) do
    if channel, do: Channel.close(channel)

    if process do
      OsProcess.kill(process)
      OsProcess.close(process.port)
    end

    clean(link)
  end

  @doc """
  Removes what the program and the link may have left.
  """
  @spec clean(t()) :: :ok
  def clean(%__MODULE__{channel: channel, sink: sink, address: address}) do
    with %Stdio.Channel{} <- channel, do: Stdio.Owner.stop(channel)
    if sink, do: Stdio.Output.close(sink)
    if address, do: Address.clean(address)
    :ok
  end
end
