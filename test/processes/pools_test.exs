defmodule Snakepit.PoolsTest do
  # Several pools in one VM, each for itself.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await
  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPCWorker
  alias Snakepit.Worker.Address

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
      start: {Supervisor, :start_link, [children, [strategy: :one_for_one]]},
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
      await_generation(broken, shared.generation)
      assert :ok = Snakepit.await_ready(broken, 10_000)
    end

    assert {:ok, %{"loads" => 1}} = Snakepit.execute("loads", %{}, pool: broken)
    assert os_pids(sound) == before
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: sound)
  end

  test "whichever of its processes is killed, however often, a pool starts again at first go" do
    name = unique_name()
    starts = :counters.new(1, [])
    # Exactly as many ports as workers: none may be taken by a worker that is about to end.
    options = pool_options(name, pool_size: 2, base_port: free_ports(2), port_range: 2)

    counted = %{
      id: :counted,
      start: {__MODULE__, :start_counted, [starts, options]},
      type: :supervisor
    }

    start_supervised!(%{
      id: :users_supervisor,
      start: {Supervisor, :start_link, [[counted], [strategy: :one_for_one, max_restarts: 100]]},
      type: :supervisor
    })

    for round <- 1..12 do
      supervisor = Process.whereis(Module.concat(Snakepit.Pool, name))
      # Killed also while it is about to start, as often as not.
      if rem(round, 2) == 0, do: await_ready(name)

      with 0 <- rem(round, 3),
           {:ok, %{server: server}} <- Snakepit.Pool.Shared.fetch(name),
           do: kill(server)

      kill(supervisor)
      await_supervisor(name, supervisor)
    end

    await_ready(name)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: name)
    assert :counters.get(starts, 1) == 13
  end

  # Below those that the system gives away by itself.
  defp free_ports(count) do
    first = 20_000 + :rand.uniform(10_000)

    if Enum.all?(first..(first + count - 1), &Address.free?/1), do: first, else: free_ports(count)
  end

  def start_counted(starts, options) do
    :counters.add(starts, 1, 1)
    Snakepit.Pool.start_link(options)
  end

  defp await_ready(pool) do
    eventually(fn ->
      case Snakepit.await_ready(pool, 10_000) do
        {:error, reason} when reason in [:grpc_unavailable, :pool_not_found] -> false
        ready -> assert ready == :ok
      end
    end)
  end

  defp await_supervisor(pool, old),
    do: eventually(fn -> Process.whereis(Snakepit.Pool.supervisor(pool)) not in [nil, old] end)

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
