defmodule Snakepit.Worker.Directory do
  @moduledoc false
  # The private directory that holds the sockets of a pool. Only its owner may enter, which
  # is what keeps other users of the machine away from the workers.

  alias Snakepit.{Adapter, Config, Error}

  # sun_path is 104 bytes on macOS and 108 on Linux, its final zero included.
  @max_path 103

  @doc """
  Makes the directory, unless the workers of the pool need no socket.
  """
  @spec create(Config.t()) :: {:ok, Path.t() | nil} | {:error, Error.t()}
  def create(%Config{base_port: port}) when is_integer(port), do: {:ok, nil}

  def create(%Config{adapter: adapter}),
    do: if(Adapter.own_worker?(adapter), do: create(), else: {:ok, nil})

  defp create do
    name = "snakepit-" <> Base.url_encode64(:crypto.strong_rand_bytes(6))

    with tmp when is_binary(tmp) <- System.tmp_dir() || {:error, :no_tmp_dir},
         directory = Path.join(tmp, name),
         :ok <- short_enough(socket_path(directory, 99_999, 99_999)),
         :ok <- ensure(directory) do
      {:ok, directory}
    else
      {:error, :no_tmp_dir} -> {:error, unusable("a temporary directory", :enoent)}
      {:error, %Error{} = error} -> {:error, error}
    end
  end

  @doc """
  Makes the directory again if somebody has cleaned it away.
  """
  @spec ensure(Path.t()) :: :ok | {:error, Error.t()}
  def ensure(directory) do
    with :ok <- File.mkdir_p(directory),
         :ok <- File.chmod(directory, 0o700) do
      :ok
    else
      {:error, reason} -> {:error, unusable(directory, reason)}
    end
  end

  @spec remove(Path.t() | nil) :: :ok
  def remove(nil), do: :ok

  def remove(directory) do
    File.rm_rf(directory)
    :ok
  end

  @doc """
  Where a worker listens. Each of its processes has a path of its own, so that none ever
  meets the socket of the one before.
  """
  @spec socket_path(Path.t(), non_neg_integer(), non_neg_integer()) :: Path.t()
  def socket_path(directory, index, start), do: Path.join(directory, "w#{index}-#{start}.sock")

  defp short_enough(path) do
    if byte_size(path) <= @max_path do
      :ok
    else
      {:error,
       %Error{
         kind: :worker_crashed,
         message:
           "The path of a worker socket would be #{byte_size(path)} bytes long (#{path}), and the " <>
             "system allows #{@max_path}. Set TMPDIR to a shorter path, or set :base_port to use TCP."
       }}
    end
  end

  defp unusable(directory, reason) do
    %Error{
      kind: :worker_crashed,
      message:
        "The directory for the worker sockets, #{directory}, could not be made: " <>
          "#{:file.format_error(reason)}. Set TMPDIR to a directory that can be written to."
    }
  end
end
