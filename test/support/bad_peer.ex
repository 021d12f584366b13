defmodule Snakepit.Test.BadPeer do
  @moduledoc """
  Something that listens on a port of this machine and is no gRPC server.
  """

  @preface "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  @settings <<0::24, 4, 0, 0::32>>
  @goaway 7

  @doc """
  Listens, and does the same to everybody who connects. Returns the port.
  """
  def start(manner) do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}, active: false])
    {:ok, port} = :inet.port(listener)
    ExUnit.Callbacks.start_supervised!({Task, fn -> accept(listener, manner) end}, id: make_ref())
    port
  end

  defp accept(listener, manner) do
    {:ok, socket} = :gen_tcp.accept(listener)
    {:ok, pid} = Task.start(fn -> receive(do: (:yours -> serve(socket, manner))) end)
    :ok = :gen_tcp.controlling_process(socket, pid)
    send(pid, :yours)
    accept(listener, manner)
  end

  defp serve(socket, :close), do: :gen_tcp.close(socket)
  defp serve(socket, :silent), do: :gen_tcp.recv(socket, 0, 60_000) && serve(socket, :silent)

  defp serve(socket, :http1) do
    {:ok, _preface} = :gen_tcp.recv(socket, 0)
    :gen_tcp.send(socket, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    :gen_tcp.recv(socket, 0, 5_000)
  end

  defp serve(socket, :garbage) do
    :gen_tcp.send(socket, :crypto.strong_rand_bytes(10_000))
    :gen_tcp.recv(socket, 0, 5_000)
  end

  # It speaks HTTP/2, and says at once that it is about to leave.
  defp serve(socket, :goaway) do
    {:ok, @preface <> _settings} = :gen_tcp.recv(socket, 0)
    # The last stream it will serve, and why: it shuts down.
    goaway = <<8::24, @goaway, 0, 0::32, 0::32, 0::32>>
    :gen_tcp.send(socket, @settings <> goaway)
    :gen_tcp.recv(socket, 0, 5_000)
    :gen_tcp.close(socket)
  end

  # It leaves as soon as a call has been made.
  defp serve(socket, :goaway_later) do
    {:ok, @preface <> _settings} = :gen_tcp.recv(socket, 0)
    :gen_tcp.send(socket, @settings)
    {:ok, _headers} = :gen_tcp.recv(socket, 0, 5_000)
    goaway = <<8::24, @goaway, 0, 0::32, 0::32, 11::32>>
    :gen_tcp.send(socket, goaway)
    :gen_tcp.close(socket)
  end
end
