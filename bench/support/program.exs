defmodule Bench.Program do
  @moduledoc false
  # A program that answers each line of its stdin with a line. It ends with this process.

  use GenServer

  # What grpcio notes of connections that end stays out of the tables.
  @env [{~c"GRPC_VERBOSITY", ~c"NONE"}]

  @spec start_link(Path.t(), [term()]) :: GenServer.on_start()
  def start_link(executable, args),
    do: GenServer.start_link(__MODULE__, {executable, Enum.map(args, &to_string/1)})

  @doc """
  The next line, which nobody has asked for.
  """
  @spec line(pid()) :: String.t()
  def line(program), do: GenServer.call(program, {:ask, []}, :infinity)

  @doc """
  The answer to a line of JSON, which is JSON too.
  """
  @spec ask(pid(), term()) :: term()
  def ask(program, question) do
    question = [JSON.encode!(question), "\n"]
    program |> GenServer.call({:ask, question}, :infinity) |> JSON.decode!()
  end

  @spec stop(pid()) :: :ok
  def stop(program), do: GenServer.stop(program)

  @impl true
  def init({executable, args}) do
    options = [:binary, :exit_status, line: 1_000_000, args: args, env: @env]
    {:ok, %{port: Port.open({:spawn_executable, executable}, options), name: args}}
  end

  @impl true
  def handle_call({:ask, question}, _from, %{port: port} = state) do
    Port.command(port, question)

    receive do
      {^port, {:data, {:eol, line}}} -> {:reply, line, state}
      {^port, {:exit_status, status}} -> raise "#{state.name} ended with status #{status}"
    end
  end

  @impl true
  def handle_info({port, {:exit_status, _status}}, %{port: port} = state),
    do: {:stop, :normal, state}
end
