defmodule Snakepit.Test.Beacon do
  @moduledoc """
  Lets Python handlers tell a test what happens in them: a handler gets the port of the beacon and
  sends datagrams, which arrive as messages `{:beacon, text}`-like tuples of `:gen_udp`.
  """

  import ExUnit.Assertions

  @patience 5_000

  defstruct [:socket, :port]

  def open do
    {:ok, socket} = :gen_udp.open(0, [:binary, ip: {127, 0, 0, 1}, active: true])
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
  Every text that has come so far.
  """
  def texts(%__MODULE__{socket: socket} = beacon) do
    receive do
      {:udp, ^socket, _address, _from, text} -> [text | texts(beacon)]
    after
      0 -> []
    end
  end
end
