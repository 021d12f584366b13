defmodule Snakepit.Stdio.Output do
  @moduledoc false
  # Where a worker that is spoken to through pipes writes its text: a unix socket, to which our own
  # workers connect before they import anything.

  alias Snakepit.Error

  @enforce_keys [:listener]
  defstruct [:listener, :socket]

  @type t :: %__MODULE__{listener: port(), socket: port() | nil}

  # So many lines may wait in the mailbox of the worker's process.
  @lines 100
  @line_length 16_384
  # Descendants may hold the other end.
  @drain 100

  @doc """
  Listens at `path`. The calling process gets `{:output, socket}`, hands it to `connected/2`, and
  from then on gets the lines.
  """
  @spec listen(Path.t()) :: {:ok, t()} | {:error, Error.t()}
  def listen(path) do
    options = [
      :binary,
      ifaddr: {:local, path},
      packet: :line,
      buffer: @line_length,
      active: false
    ]

    case :gen_tcp.listen(0, options) do
      {:ok, listener} ->
        accept(listener)
        {:ok, %__MODULE__{listener: listener}}

      {:error, reason} ->
        {:error,
         %Error{
           kind: :worker_crashed,
           message:
             "The socket for a worker's output, #{path}, could not be made: " <>
               "#{:inet.format_error(reason)}."
         }}
    end
  end

  defp accept(listener) do
    worker = self()

    # Ends when the listener is closed.
    spawn_link(fn ->
      with {:ok, socket} <- :gen_tcp.accept(listener),
           :ok <- :gen_tcp.controlling_process(socket, worker),
           do: send(worker, {:output, socket})
    end)
  end

  @spec connected(t(), port()) :: t()
  def connected(%__MODULE__{} = output, socket) do
    more(socket)
    %{output | socket: socket}
  end

  @doc """
  Asks for more lines, after `{:tcp_passive, socket}`.
  """
  @spec more(port()) :: :ok
  def more(socket) do
    _closed_or_set = :inet.setopts(socket, active: @lines)
    :ok
  end

  @doc """
  A line as a port in line mode delivers it.
  """
  @spec line(binary()) :: {:eol | :noeol, binary()}
  def line(data) do
    size = byte_size(data) - 1

    case data do
      <<line::binary-size(size), ?\n>> -> {:eol, line}
      part -> {:noeol, part}
    end
  end

  @doc """
  What an ended worker has left in the socket.
  """
  @spec drain(t()) :: [{:eol | :noeol, binary()}]
  def drain(%__MODULE__{socket: nil} = output) do
    receive do
      {:output, socket} -> output |> connected(socket) |> drain()
    after
      0 -> []
    end
  end

  def drain(%__MODULE__{socket: socket} = output) do
    receive do
      {:tcp, ^socket, data} ->
        [line(data) | drain(output)]

      {:tcp_passive, ^socket} ->
        more(socket)
        drain(output)

      {:tcp_closed, ^socket} ->
        []

      {:tcp_error, ^socket, _reason} ->
        []
    after
      @drain -> []
    end
  end

  @spec close(t()) :: :ok
  def close(%__MODULE__{listener: listener, socket: socket}) do
    :gen_tcp.close(listener)
    if socket, do: :gen_tcp.close(socket)
    :ok
  end
end
