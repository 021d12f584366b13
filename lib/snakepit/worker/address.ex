defmodule Snakepit.Worker.Address do
  @moduledoc false
  # Where a gRPC worker listens: on a unix socket in the private directory of its pool, or on a
  # port of the loopback interface, where a random token keeps strangers out.

  alias Snakepit.{Adapter, Config, Error}
  alias Snakepit.Pool.{Shared, Slots}
  alias Snakepit.Worker.Directory

  @type t :: {:unix, Path.t()} | {:tcp, :inet.port_number(), token :: String.t()}

  @doc """
  An address that is free. `start` counts the processes of the worker.
  """
  @spec choose(Shared.t(), Slots.worker(), non_neg_integer()) ::
          {:ok, t()} | {:error, Error.t()}
  def choose(%Shared{config: %Config{base_port: nil, adapter: adapter}} = pool, index, start) do
    if Adapter.own_worker?(adapter) do
      with :ok <- Directory.ensure(pool.directory),
           do: {:ok, {:unix, Directory.socket_path(pool.directory, index, start)}}
    else
      # All that a program of another kind is known to understand.
      {:ok, {:tcp, Adapter.call(adapter, :get_port, [], nil) || free_port(), random_token()}}
    end
  end

  def choose(%Shared{config: config, slots: slots}, index, start) do
    # Every worker has ports of its own to try, so that no two of a pool meet.
    ports =
      Range.new(config.base_port + index, last_port(config), slots.size) |> Enum.to_list()

    {tried, rest} = Enum.split(ports, rem(start, max(length(ports), 1)))

    case Enum.find(rest ++ tried, &free?/1) do
      nil -> {:error, no_port(config)}
      port -> {:ok, {:tcp, port, random_token()}}
    end
  end

  @doc """
  A port that is free at this moment.
  """
  @spec free_port() :: :inet.port_number()
  def free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  @doc """
  Whether a worker could listen on this port of the loopback interface.
  """
  @spec free?(:inet.port_number()) :: boolean()
  def free?(port) do
    case :gen_tcp.listen(port, ip: {127, 0, 0, 1}, reuseaddr: true) do
      {:ok, socket} -> :gen_tcp.close(socket) == :ok
      {:error, _taken} -> false
    end
  end

  @spec target(t()) :: String.t()
  def target({:unix, path}), do: "unix:" <> path
  def target({:tcp, port, _token}), do: "http://127.0.0.1:#{port}"

  @spec token(t()) :: String.t() | nil
  def token({:unix, _path}), do: nil
  def token({:tcp, _port, token}), do: token

  # A worker that is spoken to through pipes listens nowhere.
  @spec args(t() | nil) :: [String.t()]
  def args(nil), do: []
  def args({:unix, path}), do: ["--socket", path]
  def args({:tcp, port, _token}), do: ["--port", to_string(port)]

  @spec env(t() | nil) :: %{String.t() => String.t()}
  def env(nil), do: %{}
  def env({:unix, _path}), do: %{}
  # Never on the command line, which everybody on the machine can read.
  def env({:tcp, _port, token}), do: %{"SNAKEPIT_TOKEN" => token}

  @doc """
  Removes what the process of this address may have left.
  """
  @spec clean(t()) :: :ok
  def clean({:unix, path}) do
    File.rm(path)
    :ok
  end

  def clean({:tcp, _port, _token}), do: :ok

  defp random_token, do: Base.url_encode64(:crypto.strong_rand_bytes(24))

  defp last_port(config), do: min(config.base_port + config.port_range - 1, 65_535)

  defp no_port(config) do
    %Error{
      kind: :worker_crashed,
      message:
        "No free port from #{config.base_port} to #{last_port(config)} for a worker. Choose another " <>
          ":base_port or a larger :port_range, or leave :base_port out to use unix sockets."
    }
  end
end
