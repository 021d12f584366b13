defmodule Snakepit.Test.PoolHelper do
  @moduledoc """
  Starts pools for tests: real workers with the handlers of `test/support/python`, or only the
  Elixir half for tests of leases and the queue.
  """

  import ExUnit.Callbacks, only: [start_supervised: 1, start_supervised!: 1, start_supervised!: 2]

  alias Snakepit.Config
  alias Snakepit.Pool.{Server, SessionKeeper, Shared}

  @python [path: ["test/support/python"], modules: ["test_handlers"]]

  @doc """
  A pool of real workers, stopped with the test. Returns its name.
  """
  def start_pool(options \\ []) do
    name = unique_name()
    start_supervised!({Snakepit.Pool, pool_options(name, options)})
    name
  end

  @doc """
  Tries to start a pool that may fail.
  """
  def try_pool(options),
    do: start_supervised({Snakepit.Pool, pool_options(unique_name(), options)})

  def pool_options(name, options) do
    {python, options} = Keyword.pop(options, :python, [])
    python = Keyword.merge(@python, python)

    [name: name, pool_size: 1, python: python]
    |> Keyword.merge(options)
  end

  @doc """
  The server of a pool without workers: the test says which are ready.
  """
  def start_server(options) do
    name = unique_name()
    config = Config.new!([name: name] ++ options)
    start_supervised!({SessionKeeper, config}, id: :"#{name}_sessions")
    start_supervised!(%{id: name, start: {Server, :start_link, [config]}})
    {:ok, pool} = Shared.fetch(name)
    pool
  end

  def worker_ready(pool, index) do
    send(
      pool.server,
      {:worker, index, self(),
       {:ready, {:channel, index}, %{started_at: DateTime.from_unix!(index)}}}
    )

    settle(pool)
  end

  def worker_down(pool, index) do
    send(pool.server, {:worker, index, self(), {:starting, %{}}})
    settle(pool)
  end

  def worker_failing(pool, index, message \\ "no") do
    error = %Snakepit.Error{kind: :worker_crashed, message: message}
    send(pool.server, {:worker, index, self(), {:failing, error}})
    settle(pool)
  end

  @doc """
  Returns when the server has dealt with all that was sent to it from this process.
  """
  def settle(pool) do
    _state = :sys.get_state(pool.server)
    :ok
  end

  def unique_name, do: :"pool_#{System.unique_integer([:positive])}"

  @doc """
  Runs `fun` in a process of its own, which reports `{pid, result}` and lives until it is told to end.
  """
  def in_process(fun) do
    test = self()

    spawn_link(fn ->
      send(test, {self(), fun.()})

      receive do
        :end -> :ok
      end
    end)
  end

  @doc """
  Kills a process and returns when it is gone.
  """
  def kill(pid) do
    Process.unlink(pid)
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    end
  end
end
