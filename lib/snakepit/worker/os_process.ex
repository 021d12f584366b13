defmodule Snakepit.Worker.OsProcess do
  @moduledoc false
  # A program started through a port, with its whole process group. The port hands out
  # its output; the end of its standard input tells it that the VM is gone.
  #
  # A port gives the exit status only when nobody holds the pipes any more, which a child of the
  # program may do for ever. So the system itself is asked for news of the end, which come as
  # `{port, :ended}`, and before or after that the port may give a status.

  alias Snakepit.Error
  alias Snakepit.GRPC.Native

  @enforce_keys [:port, :os_pid]
  defstruct [:port, :os_pid]

  @type t :: %__MODULE__{port: port(), os_pid: pos_integer() | nil}

  @sigkill 9
  @sigterm 15
  @kill_wait 1_000
  @group_wait 20

  @doc """
  Starts a program. Its output is `:text`, its standard error included, or `:frames`.
  """
  @spec open(Path.t(), [String.t()], %{String.t() => String.t()}, :text | :frames) ::
          {:ok, t()} | {:error, Error.t()}
  def open(executable, args, env, output) do
    options = [
      :binary,
      :exit_status,
      :hide,
      args: args,
      env: for({name, value} <- env, do: {to_charlist(name), to_charlist(value)})
    ]

    port = Port.open({:spawn_executable, executable}, output(output) ++ options)

    # Without an id it has ended already, and its exit status is on the way.
    os_pid = with {:os_pid, os_pid} <- Port.info(port, :os_pid), do: os_pid
    # Where there are no such news, health checks notice.
    if os_pid && native?(), do: Native.watch_process(os_pid, {port, :ended})
    {:ok, %__MODULE__{port: port, os_pid: os_pid}}
  rescue
    error in [ErlangError, ArgumentError] ->
      {:error, failure(executable, Exception.message(error))}
  end

  defp output(:text), do: [:stderr_to_stdout, :stream]
  defp output(:frames), do: [:stream]

  @spec terminate(t()) :: :ok
  def terminate(%__MODULE__{} = process), do: signal(process, @sigterm)

  @doc """
  Kills what an ended process has left, so that the port gives its status, and sends
  `{port, :no_status}` to the calling process in case that it does not.
  """
  @spec clear(t()) :: :ok
  def clear(%__MODULE__{port: port} = process) do
    kill(process)
    Process.send_after(self(), {port, :no_status}, @kill_wait)
    :ok
  end

  @spec kill(t()) :: :ok
  def kill(%__MODULE__{} = process), do: signal(process, @sigkill)

  @doc """
  Waits until the process has ended, kills what is left at `deadline`, and closes the port.
  Returns what `on_output` has made of `acc` with what the process still says.
  """
  @spec await_end(t(), integer(), acc, (binary(), acc -> acc)) :: acc when acc: term()
  def await_end(%__MODULE__{port: port} = process, deadline, acc, on_output) do
    receive do
      {^port, {:data, data}} ->
        await_end(process, deadline, on_output.(data, acc), on_output)

      {^port, {:exit_status, _status}} ->
        # Its children may have outlived it.
        kill(process)
        acc

      {^port, :ended} ->
        kill(process)
        await_end(process, min(deadline, now() + @kill_wait), acc, on_output)
    after
      max(deadline - now(), 0) ->
        kill_and_close(process)
        acc
    end
  end

  @doc """
  Kills a process that may not have its own group yet, and waits until it has ended.
  """
  @spec await_kill(t(), integer(), acc, (binary(), acc -> acc)) :: acc when acc: term()
  def await_kill(%__MODULE__{port: port} = process, deadline, acc, on_output) do
    kill(process)

    receive do
      {^port, {:data, data}} ->
        await_kill(process, deadline, on_output.(data, acc), on_output)

      {^port, {:exit_status, _status}} ->
        kill(process)
        acc
    after
      @group_wait ->
        if now() < deadline do
          await_kill(process, deadline, acc, on_output)
        else
          kill_and_close(process)
          acc
        end
    end
  end

  defp kill_and_close(%__MODULE__{port: port} = process) do
    kill(process)

    receive do
      {^port, {:exit_status, _status}} -> :ok
    after
      @kill_wait -> close(port)
    end
  end

  @doc """
  Writes to the standard input of a program that reads it, as our own workers do.
  """
  @spec tell(t(), String.t()) :: :ok
  def tell(%__MODULE__{port: port}, line) do
    _busy_or_written = Port.command(port, [line, ?\n], [:nosuspend])
    :ok
  rescue
    # It has ended.
    ArgumentError -> :ok
  end

  @spec close(port()) :: :ok
  def close(port) do
    Port.close(port)
    :ok
  rescue
    # Closed already.
    ArgumentError -> :ok
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp signal(%__MODULE__{os_pid: nil}, _signal), do: :ok

  # A group without members is what we want to see.
  defp signal(%__MODULE__{os_pid: os_pid}, signal) do
    _gone_or_sent =
      if native?(),
        do: Native.signal_group(os_pid, signal),
        else: System.cmd("/bin/sh", ["-c", "kill -#{signal} -#{os_pid}"], stderr_to_stdout: true)

    :ok
  end

  defp native?, do: Native.loaded() == :ok

  defp failure(executable, text) do
    %Error{kind: :worker_crashed, message: "#{executable} could not be started: #{text}."}
  end
end
