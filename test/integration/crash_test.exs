defmodule Snakepit.CrashTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [eventually: 1]
  import Snakepit.Test.OS
  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPC.Native
  alias Snakepit.Pool.Shared
  alias Snakepit.Test.{Beacon, LogTap}

  @moduletag :capture_log
  @moduletag timeout: 120_000

  describe "an idempotent call" do
    test "is made again when its worker is killed" do
      pool = start_pool()
      beacon = Beacon.open()
      [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
      args = %{beacon: beacon.port}
      opts = [pool: pool, idempotent: true]

      call = Task.async(fn -> Snakepit.execute("hold", args, opts) end)
      Beacon.await(beacon, "held")
      signal(os_pid, "KILL")

      again = Beacon.await(beacon, "held")
      Beacon.release(beacon, again, "second time")
      assert Task.await(call) == {:ok, %{"word" => "second time"}}
    end

    test "that ends every worker it meets is given up" do
      pool = start_pool(pool_size: 2)
      opts = [pool: pool, idempotent: true]
      args = %{status: 1}
      assert Snakepit.execute("end_process", args, opts) == {:error, :worker_exited}
      assert %{errors: 4} = Snakepit.get_stats(pool)
    end

    test "is made no more after its deadline" do
      pool = start_pool()
      beacon = Beacon.open()
      opts = [pool: pool, idempotent: true, timeout: 300]
      assert {:error, :worker_timeout} = Snakepit.execute("hold", %{beacon: beacon.port}, opts)
      assert Beacon.texts(beacon) == ["held"]
    end
  end

  test "a call that finds its connection closed has not run, and is made again" do
    name = start_pool()
    {:ok, pool} = Shared.fetch(name)
    {:ok, channel} = Shared.channel(pool, 0)
    :ok = Native.channel_close(channel.native)
    assert {:ok, %{"message" => "pong"}} = Snakepit.execute("ping", %{}, pool: name)
    assert %{errors: 1} = Snakepit.get_stats(name)
  end

  test "a worker that is stopped or hangs is replaced, and the others go on meanwhile" do
    health = [interval: 50, timeout: 200, max_misses: 2]
    pool = start_pool(pool_size: 2, health: health)
    beacon = Beacon.open()
    [%{pid: worker, os_pid: os_pid}, %{os_pid: other}] = Snakepit.list_workers(pool)

    call =
      Task.async(fn ->
        Snakepit.GRPCWorker.execute(worker, "hold", %{beacon: beacon.port})
      end)

    Beacon.await(beacon, "held")
    signal(os_pid, "STOP")
    assert Task.await(call) == {:error, :worker_exited}
    assert {:ok, %{"os_pid" => ^other}} = Snakepit.execute("os_pid", %{}, pool: pool)
    await_gone(os_pid)
    assert Snakepit.await_ready(pool) == :ok
  end

  test "a busy worker is not taken for a dead one" do
    pool = start_pool(health: [interval: 20, timeout: 1_000, max_misses: 1])
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    assert {:ok, %{"os_pid" => ^os_pid}} = Snakepit.execute("burn", %{ms: 500}, pool: pool)
    assert %{restarts: 0} = Snakepit.get_stats(pool)
  end

  test "a worker that ends in whatever way is replaced" do
    pool = start_pool()

    for {command, args} <- [
          {"end_process", %{status: 0}},
          {"end_process", %{status: 7}},
          {"end_by_signal", %{number: 6}},
          {"end_by_signal", %{number: 11}}
        ] do
      assert {:error, :worker_exited} = Snakepit.execute(command, args, pool: pool)
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    end
  end

  test "the log says how a worker has ended, though its callers are the first to notice" do
    pool = start_pool()
    LogTap.attach()

    for _round <- 1..3 do
      beacon = Beacon.open()
      call = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
      Beacon.await(beacon, "held")
      [%{id: id, os_pid: os_pid}] = Snakepit.list_workers(pool)
      System.cmd("kill", ["-9", "#{os_pid}"])
      assert Task.await(call) == {:error, :worker_exited}
      assert_receive {:log, "Worker " <> text, %{worker_id: ^id, level: :error}}, 5_000
      assert text =~ "(process #{os_pid}) ended with status 137"
      :ok = Snakepit.await_ready(pool, 10_000)
    end
  end

  test "a crash loop opens a circuit, which says so and closes again" do
    pool = start_pool()
    LogTap.attach()

    for _time <- 1..5 do
      :ok = Snakepit.await_ready(pool)
      opts = [pool: pool]
      assert {:error, :worker_exited} = Snakepit.execute("end_process", %{status: 1}, opts)
    end

    assert await_circuit_log() =~ "the 5th time in a row"
    assert Snakepit.execute("ping", %{}, pool: pool) == {:error, :grpc_unavailable}
    assert [%{state: :failing}] = Snakepit.list_workers(pool)

    await_ready(pool)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
  end

  defp await_circuit_log do
    assert_receive {:log, "Worker " <> _ = line, _metadata}, 5_000
    if line =~ "Its circuit is open", do: line, else: await_circuit_log()
  end

  # Unlike Snakepit.await_ready/2 it does not give up when one start fails.
  defp await_ready(pool) do
    eventually(fn -> match?(%{workers: size, ready: size}, Snakepit.get_stats(pool)) end)
  end

  # Two of eight die while calls run, thirty times over.
  test "a storm of kills leaves as many workers as before, and no other process" do
    pool = start_pool(pool_size: 8, max_concurrent_streams: 2)
    rounds = for _round <- 1..30, do: storm(pool)

    await_ready(pool)
    assert %{ready: 8, workers: 8, busy_slots: 0, queued: 0} = Snakepit.get_stats(pool)
    ready = for %{os_pid: os_pid} <- Snakepit.list_workers(pool), do: os_pid

    for os_pid <- List.flatten(rounds) do
      await_gone(os_pid)
      refute os_pid in ready
    end

    for os_pid <- ready, do: assert(alive?(os_pid))
  end

  defp storm(pool) do
    victims =
      for %{os_pid: os_pid, state: :ready} <- Enum.shuffle(Snakepit.list_workers(pool)),
          do: os_pid

    victims = Enum.take(victims, 2)
    opts = [pool: pool, idempotent: true]

    1..200
    |> Task.async_stream(
      fn n ->
        if n == 50, do: for(os_pid <- victims, do: signal(os_pid, "KILL"))
        Snakepit.execute("ping", %{}, opts)
      end,
      max_concurrency: 16,
      timeout: 60_000
    )
    |> Enum.each(fn {:ok, result} ->
      assert match?({:ok, _pong}, result) or
               result in [{:error, :worker_exited}, {:error, :grpc_unavailable}]
    end)

    victims
  end
end
