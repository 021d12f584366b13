defmodule Snakepit.Streams.CrashTest do
  # A process that dies in the middle of a stream: the worker's, and the VM's.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper

  alias Snakepit.GRPC.Native
  alias Snakepit.Test.StreamBeacon, as: Beacon
  alias Snakepit.Test.StreamNode

  @moduletag :capture_log

  setup do
    %{beacon: Beacon.open()}
  end

  describe "a worker that is killed" do
    setup do
      %{pool: start_pool()}
    end

    test "ends its streams with :worker_exited within 100 ms, whatever they do",
         %{pool: pool, beacon: beacon} do
      endless = Stream.repeatedly(fn -> %{n: 1} end)
      args = %{beacon: beacon.port}
      opts = [pool: pool]
      test = self()

      streams = [
        fn note -> Snakepit.execute_stream("yields", args, note, opts) end,
        fn note -> Snakepit.execute_stream("awaits", args, note, opts) end,
        fn note -> Snakepit.execute_stream("busy", args, note, opts) end,
        fn note -> Snakepit.execute_bidi_stream("swallows", args, endless, note, opts) end,
        fn note -> Snakepit.execute_bidi_stream("swallows_async", args, endless, note, opts) end,
        fn note ->
          # What the consumer holds back does not hold back the news.
          {chunks, {:error, %{kind: reason}}} =
            consume(:enumerable, "yields", args, opts, fn chunk -> note.(chunk) && :cont end)

          assert chunks != []
          {:error, reason}
        end
      ]

      figures =
        for _round <- 1..3 do
          :ok = Snakepit.await_ready(pool, 10_000)

          tasks =
            for stream <- streams do
              Task.async(fn ->
                task = self()
                note = fn chunk -> if chunk["n"] == 0, do: send(test, {:open, task}) end
                {stream.(note), Beacon.now()}
              end)
            end

          for %{pid: pid} <- tasks, do: assert_receive({:open, ^pid}, 5_000)
          since = Beacon.now()
          :ok = Native.signal_group(os_pid(pool), 9)
          ends = Task.await_many(tasks, 10_000)
          for {result, _at} <- ends, do: assert(result == {:error, :worker_exited})
          ends |> Enum.map(fn {_result, at} -> (at - since) / 1_000_000 end) |> Enum.max()
        end

      # The best of three, with slack for a machine that is busy otherwise.
      assert Enum.min(figures) <= 1_000
      assert Enum.max(figures) <= 5_000
      :ok = Snakepit.await_ready(pool, 10_000)
      assert {chunks, :ok} = collect(:callback, "numbers", %{n: 3}, pool: pool)
      assert length(chunks) == 4
      assert %{restarts: 3, busy_slots: 0} = Snakepit.get_stats(pool)
    end

    test "is one last message for each of many streams", %{pool: pool, beacon: beacon} do
      streams =
        for _ <- 1..8 do
          {:ok, stream} = Snakepit.start_stream("awaits", %{beacon: beacon.port}, pool: pool)
          ref = stream.ref
          assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
          stream
        end

      :ok = Native.signal_group(os_pid(pool), 9)

      for %{ref: ref} <- streams do
        assert_receive {:snakepit, ^ref, {:error, :worker_exited}}, 5_000
      end

      # Kept until here: a stream that is collected ends without a word.
      assert length(streams) == 8
      await_free(pool)
      assert_no_stray_messages()
    end

    test "ends a client stream, and closes its input", %{pool: pool, beacon: beacon} do
      test = self()

      input =
        Stream.resource(
          fn -> 0 end,
          fn n ->
            # What was read before the worker is killed waits for it. Before its handler has begun
            # the call may not have been sent at all.
            if n == 3 do
              Beacon.await(beacon, "begun")
              Native.signal_group(os_pid(pool), 9)
            end

            {[%{n: n}], n + 1}
          end,
          fn _n -> send(test, :closed) end
        )

      args = %{beacon: beacon.port}

      assert Snakepit.execute_client_stream("awaits_input", args, input, pool: pool, window: 8) ==
               {:error, :worker_exited}

      assert_received :closed
      assert_no_stray_messages()
    end
  end

  test "who starts over as soon as its stream is lost is served by another process" do
    pool = start_pool()
    opts = [pool: pool, window: 4]

    for _round <- 1..4 do
      {:ok, %{ref: ref} = stream} = Snakepit.start_stream("numbers", %{n: 1_000_000}, opts)
      assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
      :ok = Native.signal_group(os_pid(pool), 9)
      assert_receive {:snakepit, ^ref, {:error, :worker_exited}}, 5_000

      assert [%{"n" => 0}, %{"n" => 1}] =
               "numbers" |> Snakepit.stream!(%{n: 10}, opts) |> Enum.take(2)

      Snakepit.cancel(stream)
    end
  end

  test "a VM that is killed leaves no handler running and no worker behind", %{beacon: beacon} do
    commands = ~w(yields yields_async busy naps awaits swallows swallows_async)
    node = StreamNode.start(commands, beacon.port)
    assert File.exists?("/proc/#{node.worker}")

    since = Beacon.now()
    StreamNode.kill(node)

    figures =
      for event <- Beacon.await_many(beacon, "ended", length(commands)) do
        assert event["by"] in ~w(GeneratorExit Cancelled CancelledError)
        Beacon.elapsed(event, since)
      end

    # The kill itself takes its time, being a process of its own.
    assert Enum.min(figures) <= 1_000
    assert Enum.max(figures) <= 1_500
    eventually(fn -> not File.exists?("/proc/#{node.worker}") end)
  end
end
