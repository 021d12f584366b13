defmodule Snakepit.Test.StreamNode do
  @moduledoc """
  A second VM with a pool and open streams, to be taken down as the operating system does it.
  """

  alias Snakepit.Test.PoolHelper

  @doc """
  Starts the VM and, in it, a pool and one stream of every command. Returns the ids of its operating
  system process and of its worker.
  """
  def start(commands, port) do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

    {:ok, peer, _node} =
      :peer.start(%{connection: :standard_io, args: paths, wait_boot: 60_000})

    {:ok, _apps} = :peer.call(peer, Application, :ensure_all_started, [:snakepit])
    worker = :peer.call(peer, __MODULE__, :open, [commands, port], 60_000)
    %{vm: :peer.call(peer, :os, :getpid, []) |> to_string(), worker: worker, peer: peer}
  end

  @doc false
  # Runs in the second VM.
  def open(commands, port) do
    caller = self()

    spawn(fn ->
      options = PoolHelper.pool_options(:streams, python: [modules: ["stream_handlers"]])
      {:ok, _pool} = Snakepit.Pool.start_link(options)
      for command <- commands, do: spawn_link(fn -> consume(command, port, caller) end)
      Process.sleep(:infinity)
    end)

    for _command <- commands, do: receive(do: (:open -> :ok))
    [%{os_pid: os_pid}] = Snakepit.list_workers(:streams)
    os_pid
  end

  defp consume(command, port, caller) do
    first = fn chunk -> if chunk["n"] == 0, do: send(caller, :open) end
    args = %{beacon: port}

    if command =~ "swallows" do
      silent = Stream.repeatedly(fn -> Process.sleep(:infinity) end)
      Snakepit.execute_bidi_stream(command, args, silent, first, pool: :streams)
    else
      Snakepit.execute_stream(command, args, first, pool: :streams)
    end
  end

  @doc """
  Kills the VM in the way that lets nothing in it say good-bye.
  """
  def kill(%{vm: vm}) do
    {_output, 0} = System.cmd("kill", ["-9", vm])
    :ok
  end
end
