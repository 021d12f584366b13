defmodule Snakepit.Streams.CleanupTest do
  # What a cancelled handler may do before it ends, and what becomes of one that does not end.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]

  alias Snakepit.Test.{LogTap, OsProcess}
  alias Snakepit.Test.StreamBeacon, as: Beacon

  setup do
    %{beacon: Beacon.open()}
  end

  describe "a clean-up that takes its time" do
    setup do
      # None of them is to be taken for one that does not end, however busy the machine is.
      %{pool: start_pool(cancel_grace_ms: 20_000)}
    end

    for command <- ["slow_farewell", "slow_farewell_async"] do
      @command command

      test "is not disturbed (#{command})", %{pool: pool, beacon: beacon} do
        args = %{beacon: beacon.port, steps: 30}

        for _run <- 1..5 do
          assert [_] = @command |> Snakepit.stream!(args, pool: pool) |> Enum.take(1)
          # Longer than a busy handler is given before it is interrupted.
          assert %{"steps" => 30} = Beacon.await(beacon, "ended")
        end
      end

      test "does not keep its slot (#{command})", %{pool: pool, beacon: beacon} do
        args = %{beacon: beacon.port, steps: 100}
        for _call <- 1..8, do: @command |> Snakepit.stream!(args, pool: pool) |> Enum.take(1)
        assert %{busy_slots: 0} = Snakepit.get_stats(pool)
        # All threads still clean up; calls run all the same.
        assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool, timeout: 5_000)
        for event <- Beacon.await_many(beacon, "ended", 8), do: assert(event["steps"] == 100)
      end
    end

    for command <- ["slow_farewell", "slow_farewell_async"] do
      @command command

      test "is not disturbed while Python is busy with other calls (#{command})",
           %{pool: pool, beacon: beacon} do
        busy =
          for _ <- 1..2 do
            Task.async(fn -> Snakepit.execute("spin_for", %{ms: 1_000}, pool: pool) end)
          end

        input = Stream.repeatedly(fn -> Process.sleep(:infinity) end)
        args = %{beacon: beacon.port, steps: 20}
        halt = fn _chunk -> :halt end

        for _run <- 1..3 do
          assert [_] = @command |> Snakepit.stream!(args, pool: pool) |> Enum.take(1)
          assert %{"steps" => 20} = Beacon.await(beacon, "ended")
          command = String.replace(@command, "farewell", "farewell_input")
          assert :ok = Snakepit.execute_bidi_stream(command, args, input, halt, pool: pool)
          assert %{"steps" => 20} = Beacon.await(beacon, "ended")
        end

        Task.await_many(busy, 20_000)
      end
    end

    test "is left to a handler that looks for its cancellation itself",
         %{pool: pool, beacon: beacon} do
      args = %{beacon: beacon.port}

      for _run <- 1..3 do
        caller = spawn(fn -> Snakepit.execute("polite_command", args, pool: pool) end)
        Beacon.await(beacon, "begun")
        kill(caller)
        assert %{"steps" => 30} = Beacon.await(beacon, "ended")
      end
    end
  end

  test "a handler that never met its interruption is interrupted once more", %{beacon: beacon} do
    for transport <- [:native, :grpcio] do
      pool = start_pool(cancel_grace_ms: 600, transport: transport)
      worker = os_pid(pool)
      cancelled = call(pool, "forgets", beacon)
      Beacon.await(beacon, "begun")
      kill(cancelled)
      assert %{"by" => "Cancelled"} = Beacon.await(beacon, "ended")
      await_free(pool)
      assert os_pid(pool) == worker
    end
  end

  describe "while a handler holds the interpreter" do
    setup do: LogTap.attach()

    @tag :capture_log
    test "another that is cancelled is not blamed", %{beacon: beacon} do
      pool = start_pool(cancel_grace_ms: 200)
      worker = OsProcess.watch(os_pid(pool))
      cancelled = call(pool, "busy_command", beacon)
      Beacon.await(beacon, "begun")
      holder = Task.async(fn -> execute(pool, "holds_interpreter", beacon) end)
      holding = Beacon.await(beacon, "holding")

      kill(cancelled)
      refute_receive {:os_process_ended, ^worker}, 800
      Beacon.release(beacon, holding)
      assert {:ok, _received} = Task.await(holder)
      assert %{"by" => "Cancelled"} = Beacon.await(beacon, "ended")
      await_free(pool)
      assert os_pid(pool) == worker
    end

    @tag :capture_log
    test "a clean-up that has begun has its time all the same", %{beacon: beacon} do
      pool = start_pool(cancel_grace_ms: 400)
      worker = OsProcess.watch(os_pid(pool))
      cancelled = call(pool, "stepwise_farewell", beacon)
      Beacon.await(beacon, "begun")
      kill(cancelled)
      farewell = Beacon.await(beacon, "told")
      holder = Task.async(fn -> execute(pool, "holds_interpreter", beacon) end)
      holding = Beacon.await(beacon, "holding")
      Beacon.release(beacon, farewell)

      refute_receive {:os_process_ended, ^worker}, 1_000
      Beacon.release(beacon, holding)
      assert {:ok, _received} = Task.await(holder)
      Beacon.await(beacon, "ended")
      await_free(pool)
      assert os_pid(pool) == worker
    end

    test "no thread is made for each of the others that are cancelled", %{beacon: beacon} do
      pool = start_pool(max_concurrent_streams: 32, cancel_grace_ms: 20_000)
      worker = OsProcess.watch(os_pid(pool))
      callers = for _ <- 1..12, do: call(pool, "busy_command", beacon)
      Beacon.await_many(beacon, "begun", 12)
      holder = Task.async(fn -> execute(pool, "holds_interpreter", beacon) end)
      holding = Beacon.await(beacon, "holding")

      before = threads(worker)
      Enum.each(callers, &kill/1)
      # Until the last of them would be interrupted, and some time more.
      refute_receive {:os_process_ended, ^worker}, 200
      assert threads(worker) <= before + 1

      Beacon.release(beacon, holding)
      assert {:ok, _received} = Task.await(holder)
      for event <- Beacon.await_many(beacon, "ended", 12), do: assert(event["by"] == "Cancelled")
      await_free(pool)
      assert os_pid(pool) == worker
    end

    @tag :capture_log
    test "and is cancelled itself, the grace time is all it has", %{beacon: beacon} do
      pool = start_pool(cancel_grace_ms: 300)
      worker = OsProcess.watch(os_pid(pool))
      holder = call(pool, "holds_interpreter", beacon)
      Beacon.await(beacon, "holding")
      kill(holder)

      refute_receive {:os_process_ended, ^worker}, 200
      assert_receive {:os_process_ended, ^worker}, 1_500
      assert_receive {:log, "holds_interpreter could not run" <> _, %{level: :warning}}, 5_000
    end

    @tag :capture_log
    test "and is cancelled itself, one that waits for its consumer changes nothing",
         %{beacon: beacon} do
      pool = start_pool(cancel_grace_ms: 300)
      worker = OsProcess.watch(os_pid(pool))
      {:ok, stream} = Snakepit.start_stream("producer", %{key: "waiting"}, pool: pool, window: 2)
      # The chunks of the window, and one that has no room.
      eventually(fn ->
        Snakepit.execute("made_by", %{key: "waiting"}, pool: pool) == {:ok, %{"made" => 3}}
      end)

      holder = call(pool, "holds_interpreter", beacon)
      Beacon.await(beacon, "holding")
      kill(holder)
      assert_receive {:os_process_ended, ^worker}, 1_500
      ref = stream.ref
      assert_receive {:snakepit, ^ref, {:error, :worker_exited}}, 1_000
    end

    @tag :capture_log
    test "for ever, the worker ends although nobody can be blamed", %{beacon: beacon} do
      pool = start_pool(cancel_grace_ms: 50)
      worker = OsProcess.watch(os_pid(pool))
      cancelled = call(pool, "busy_command", beacon)
      Beacon.await(beacon, "begun")
      holder = Task.async(fn -> execute(pool, "holds_interpreter", beacon) end)
      Beacon.await(beacon, "holding")

      kill(cancelled)
      refute_receive {:os_process_ended, ^worker}, 300
      assert Task.await(holder) == {:error, :worker_exited}
      assert_receive {:os_process_ended, ^worker}, 1_000
      assert_receive {:log, "busy_command could not run" <> _, %{level: :warning}}, 5_000
    end
  end

  defp threads(os_pid), do: length(File.ls!("/proc/#{os_pid}/task"))

  defp call(pool, command, beacon), do: spawn(fn -> execute(pool, command, beacon) end)

  defp execute(pool, command, beacon),
    do: Snakepit.execute(command, %{beacon: beacon.port}, pool: pool)

  describe "a handler that ignores its cancellation" do
    setup do: LogTap.attach()

    @tag :capture_log
    test "costs its worker after the grace time, and the other calls on it are told",
         %{beacon: beacon} do
      pool = start_pool(cancel_grace_ms: 300)
      before = os_pid(pool)
      other = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
      Beacon.await(beacon, "held")
      {:ok, stream} = Snakepit.start_stream("holds", %{beacon: beacon.port}, pool: pool)
      Beacon.await(beacon, "holds")

      args = %{beacon: beacon.port}
      assert [_] = "ignores" |> Snakepit.stream!(args, pool: pool) |> Enum.take(1)
      since = System.monotonic_time(:millisecond)
      assert %{"os_pid" => ^before} = Beacon.await(beacon, "begun")
      Beacon.await(beacon, "ignored")

      # Until then the worker serves.
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)

      assert Task.await(other) == {:error, :worker_exited}
      elapsed = System.monotonic_time(:millisecond) - since
      assert elapsed >= 250
      assert elapsed <= 3_000
      ref = stream.ref
      assert_receive {:snakepit, ^ref, {:error, :worker_exited}}, 1_000

      assert :ok = Snakepit.await_ready(pool, 10_000)
      assert os_pid(pool) != before
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
      await_free(pool)
      assert %{restarts: 1} = Snakepit.get_stats(pool)
      assert_received {:log, "ignores went on for " <> _, %{level: :warning, worker_id: _}}
    end
  end
end
