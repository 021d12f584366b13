defmodule Snakepit.PoolsTest do
  # Several pools in one VM, each for itself.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPCWorker

  @moduletag :capture_log

  defp os_pids(pool), do: pool |> Snakepit.list_workers() |> Enum.map(& &1.os_pid)

  defp two_pools do
    [one, other] = names = [unique_name(), unique_name()]

    children = [
      {Snakepit.Pool, pool_options(one, pool_size: 2)},
      {Snakepit.Pool, pool_options(other, python: [modules: ["lifecycle_handlers"]])}
    ]

    supervisor = %{
      id: :users_supervisor,
      start: {Supervisor, :start_link, [children, [strategy: :one_for_one, max_restarts: 20]]},
      type: :supervisor
    }

    start_supervised!(supervisor)
    names
  end

  test "pools of one supervisor have their own size, handlers and numbers" do
    [one, other] = two_pools()
    assert length(os_pids(one)) == 2
    assert length(os_pids(other)) == 1
    assert os_pids(one) -- os_pids(other) == os_pids(one)

    assert {:ok, %{"loads" => 1}} = Snakepit.execute("loads", %{}, pool: other)
    assert {:error, %{kind: :unknown_command}} = Snakepit.execute("loads", %{}, pool: one)
    assert %{requests: 1, errors: 1, workers: 2} = Snakepit.get_stats(one)
    assert %{requests: 1, errors: 0, workers: 1} = Snakepit.get_stats(other)
  end

  test "a pool whose workers crash at every start leaves the other alone" do
    [sound, broken] = two_pools()
    before = os_pids(sound)

    for _ <- 1..4 do
      Snakepit.execute("end_process", %{status: 1}, pool: broken)
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: sound)
    end

    assert os_pids(sound) == before
    assert %{restarts: 0, ready: 2} = Snakepit.get_stats(sound)
  end

  test "a pool whose processes are killed comes back, and the other does not notice" do
    [sound, broken] = two_pools()
    before = os_pids(sound)

    for _ <- 1..2 do
      {:ok, shared} = Snakepit.Pool.Shared.fetch(broken)
      kill(Process.whereis(Module.concat(Snakepit.Pool, broken)))
      await_successor(broken, shared.generation)
      assert :ok = Snakepit.await_ready(broken, 10_000)
    end

    assert {:ok, %{"loads" => 1}} = Snakepit.execute("loads", %{}, pool: broken)
    assert os_pids(sound) == before
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: sound)
  end

  defp await_successor(pool, old) do
    case Snakepit.Pool.Shared.fetch(pool) do
      {:ok, %{generation: new}} when new != old -> :ok
      _not_yet -> await_successor(pool, old)
    end
  end

  test "a pool that cannot start does not keep another from starting later" do
    assert {:error, _reason} = try_pool(python: [modules: ["broken_module"]])
    pool = start_pool()
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
  end

  test "a full pool does not hold up the other" do
    [one, other] = two_pools()
    beacon = Snakepit.Test.Beacon.open()
    [%{pid: first}, %{pid: second}] = Snakepit.list_workers(one)

    held =
      for worker <- [first, second], _ <- 1..10 do
        Task.async(fn -> GRPCWorker.execute(worker, "hold", %{beacon: beacon.port}) end)
      end

    handlers = for _ <- held, do: Snakepit.Test.Beacon.await(beacon, "held")
    assert %{free_slots: 0} = Snakepit.get_stats(one)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: other)
    Enum.each(handlers, &Snakepit.Test.Beacon.release(beacon, &1))
    assert Enum.all?(Task.await_many(held), &match?({:ok, _}, &1))
  end

  test "wrong options are refused before anything is started" do
    for {options, message} <- [
          {[pool_sice: 2],
           ~r/Snakepit.Pool: unknown option :pool_sice, did you mean :pool_size\?/},
          {[pool_size: 0], ~r/option :pool_size expected a positive integer, got 0/},
          {[python: [thread: 1]], ~r/:python: unknown option :thread, did you mean :threads\?/}
        ] do
      assert_raise ArgumentError, message, fn -> Snakepit.Pool.start_link(options) end

      # Under a supervisor the reason has the same text.
      assert {:error, {{:EXIT, {%ArgumentError{} = error, _stack}}, _child}} =
               start_supervised({Snakepit.Pool, options})

      assert Exception.message(error) =~ message
    end
  end
end
