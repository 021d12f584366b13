defmodule Snakepit.Test.Beacon do
  @moduledoc """
  Lets Python handlers tell a test what happens in them: a handler gets the port of the beacon and
  sends datagrams to it.
  """

  import ExUnit.Assertions

  @patience 5_000

  defstruct [:socket, :port]

  def open do
    # Without room for a burst the system drops what a busy test has not read yet.
    options = [:binary, ip: {127, 0, 0, 1}, active: true, recbuf: 1_048_576]
    {:ok, socket} = :gen_udp.open(0, options)
    {:ok, port} = :inet.port(socket)
    %__MODULE__{socket: socket, port: port}
  end

  @doc """
  Waits for a text and returns where it came from.
  """
  def await(%__MODULE__{socket: socket}, text) do
    assert_receive {:udp, ^socket, _address, from, ^text}, @patience
    from
  end

  @doc """
  Answers a handler that waits.
  """
  def release(%__MODULE__{socket: socket}, from, word \\ "go on"),
    do: :ok = :gen_udp.send(socket, {127, 0, 0, 1}, from, word)

  @doc """
  Every text that was sent until now.
  """
  def texts(%__MODULE__{socket: socket}) do
    # What is not a message yet is read from the system.
    :ok = :inet.setopts(socket, active: false)
    texts = received(socket) ++ unread(socket)
    :ok = :inet.setopts(socket, active: true)
    texts
  end

  defp received(socket) do
    receive do
      {:udp, ^socket, _address, _from, text} -> [text | received(socket)]
    after
      0 -> []
    end
  end

  defp unread(socket) do
    case :gen_udp.recv(socket, 0, 0) do
      {:ok, {_address, _from, text}} -> [text | unread(socket)]
      {:error, :timeout} -> []
    end
  end
end
