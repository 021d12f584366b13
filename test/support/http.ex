defmodule Snakepit.Test.Http do
  @moduledoc """
  A client that sends exactly what a test says, and nothing of its own.
  """

  import ExUnit.Assertions

  @patience 15_000

  @doc """
  Asks once, on a connection of its own: `{status, headers, body}`.
  """
  def request(port, method, path, headers \\ [{"host", "localhost"}], body \\ "") do
    socket = connect(port)
    lines = for {name, value} <- headers, do: "#{name}: #{value}\r\n"
    length = if body == "", do: [], else: "content-length: #{byte_size(body)}\r\n"

    :ok =
      :gen_tcp.send(socket, [
        "#{method} #{path} HTTP/1.1\r\n",
        lines,
        length,
        "connection: close\r\n\r\n",
        body
      ])

    parse(read(socket))
  end

  def get(port, path, headers \\ [{"host", "localhost"}]), do: request(port, "GET", path, headers)

  def connect(port) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
    socket
  end

  @doc """
  All that comes until the other side closes.
  """
  def read(socket, text \\ "") do
    case :gen_tcp.recv(socket, 0, @patience) do
      {:ok, more} -> read(socket, text <> more)
      {:error, closed} when closed in [:closed, :econnreset] -> text
      {:error, :timeout} -> flunk("the server neither answered nor closed: #{inspect(text)}")
    end
  end

  def parse(text) do
    [head, body] = String.split(text, "\r\n\r\n", parts: 2)

    ["HTTP/1." <> <<_minor, " ", status::binary-3>> <> _reason | lines] =
      String.split(head, "\r\n")

    headers =
      for line <- lines, into: %{} do
        [name, value] = String.split(line, ":", parts: 2)
        {String.downcase(name), String.trim(value)}
      end

    {String.to_integer(status), headers, body}
  end
end
