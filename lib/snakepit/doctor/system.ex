defmodule Snakepit.Doctor.System do
  @moduledoc false
  # What the system must give: a place for sockets, ports, files and processes.

  import Bitwise

  alias Snakepit.{Config, Doctor, Error}
  alias Snakepit.Worker.{Address, Directory}

  # The VM itself, its applications and what the pool does not know of.
  @spare_files 256
  @spare_processes 256

  # Pipes and connection in the VM.
  @files_of_worker 6
  # Its server, its parent's watch, the asyncio loop, and one for each slot.
  @threads_of_worker 8

  @doc """
  Can a directory be made that only its owner may enter, with a socket in it?
  """
  @spec socket_directory(Config.t()) :: Doctor.result()
  def socket_directory(config) do
    case Directory.create(%{config | base_port: nil}) do
      {:ok, directory} ->
        try do
          check_directory(directory)
        after
          Directory.remove(directory)
        end

      {:error, %Error{} = error} ->
        {:error, Exception.message(error), "export TMPDIR=/tmp"}
    end
  end

  @doc """
  Is there a free port for every worker?
  """
  @spec ports(Config.t()) :: Doctor.result()
  def ports(config) do
    last = min(config.base_port + config.port_range - 1, 65_535)
    free = Enum.count(config.base_port..last, &Address.free?/1)

    if free >= config.pool_size do
      {:ok, "#{free} free from #{config.base_port} to #{last}"}
    else
      {:error,
       "#{free} free from #{config.base_port} to #{last}, and #{config.pool_size} workers need " <>
         "one each: choose another :base_port or a larger :port_range. Who has them:", "ss -ltnp"}
    end
  end

  @spec open_files([Config.t()]) :: Doctor.result()
  def open_files(configs) do
    needed = @spare_files + Enum.sum_by(configs, &(&1.pool_size * @files_of_worker))
    check_limit("-n", needed, "open files")
  end

  @spec processes([Config.t()]) :: Doctor.result()
  def processes(configs) do
    threads = &(&1.pool_size * (&1.max_concurrent_streams + @threads_of_worker))
    check_limit("-u", @spare_processes + Enum.sum_by(configs, threads), "processes and threads")
  end

  defp check_directory(directory) do
    path = Directory.socket_path(directory, 99_999, 99_999)

    with {:ok, %{mode: mode}} when (mode &&& 0o077) == 0 <- File.stat(directory),
         {:ok, socket} <- :gen_tcp.listen(0, ifaddr: {:local, path}) do
      :gen_tcp.close(socket)
      {:ok, "#{Path.dirname(directory)}, for sockets with paths of #{byte_size(path)} bytes"}
    else
      {:ok, %{mode: mode}} ->
        {:error, "#{directory} is open to others: mode #{Integer.to_string(mode &&& 0o777, 8)}",
         "export TMPDIR=/tmp"}

      {:error, reason} ->
        {:error, "no socket in #{directory}: #{:inet.format_error(reason)}", "export TMPDIR=/tmp"}
    end
  end

  defp check_limit(flag, needed, what) do
    case limit(flag) do
      limit when limit >= needed ->
        {:ok, "#{limit} #{what} allowed, about #{needed} needed"}

      limit ->
        {:error, "#{limit} #{what} allowed, about #{needed} needed", "ulimit #{flag} #{needed}"}
    end
  end

  # The limits of a child are those of the VM. An atom is greater than any number.
  defp limit(flag) do
    {output, 0} = System.cmd("sh", ["-c", "ulimit #{flag} 2>/dev/null || echo unlimited"])

    case Integer.parse(output) do
      {limit, _rest} -> limit
      :error -> :unlimited
    end
  end
end
