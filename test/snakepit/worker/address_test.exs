defmodule Snakepit.Worker.AddressTest do
  use ExUnit.Case, async: true

  import Bitwise

  alias Snakepit.{Config, Error}
  alias Snakepit.Pool.Shared
  alias Snakepit.Worker.{Address, Directory}

  defp pool(options, directory \\ nil), do: Shared.new(Config.new!(options), nil, directory)

  # Ports the system has just given away and taken back: as free as can be known.
  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  test "a unix socket has a path of its own for every start" do
    {:ok, directory} = Directory.create(Config.new!([]))
    pool = pool([], directory)
    path = directory <> "/w1-0.sock"
    assert {:ok, {:unix, ^path} = address} = Address.choose(pool, 1, 0)
    assert {:ok, {:unix, next}} = Address.choose(pool, 1, 1)
    assert next == directory <> "/w1-1.sock"
    assert Address.target(address) == "unix:" <> path
    assert Address.args(address) == ["--socket", path]
    assert Address.env(address) == %{}
    Directory.remove(directory)
  end

  test "a port comes with a token in the environment" do
    port = free_port()
    pool = pool(base_port: port, port_range: 1, pool_size: 1)
    assert {:ok, {:tcp, ^port, token} = address} = Address.choose(pool, 0, 0)
    assert Address.target(address) == "http://127.0.0.1:#{port}"
    assert Address.args(address) == ["--port", "#{port}"]
    assert Address.env(address) == %{"SNAKEPIT_TOKEN" => token}
    assert byte_size(token) >= 32
    assert {:ok, {:tcp, ^port, other}} = Address.choose(pool, 0, 1)
    assert other != token
  end

  test "a port that is taken is passed over" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, taken} = :inet.port(socket)
    pool = pool(base_port: taken, port_range: 50, pool_size: 1)
    assert {:ok, {:tcp, port, _token}} = Address.choose(pool, 0, 0)
    assert port > taken
  end

  test "no free port is an error that says so" do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, taken} = :inet.port(socket)
    pool = pool(base_port: taken, port_range: 1, pool_size: 1)
    assert {:error, %Error{message: message}} = Address.choose(pool, 0, 0)
    assert message =~ "No free port from #{taken} to #{taken}"
  end

  test "the directory of the sockets is private, and goes away" do
    {:ok, directory} = Directory.create(Config.new!([]))
    assert band(File.stat!(directory).mode, 0o777) == 0o700
    File.write!(Directory.socket_path(directory, 0, 0), "")
    assert Directory.remove(directory) == :ok
    refute File.exists?(directory)
  end

  test "TCP needs no directory" do
    assert Directory.create(Config.new!(base_port: 50_051)) == {:ok, nil}
  end
end
