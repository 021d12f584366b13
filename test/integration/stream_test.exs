defmodule Snakepit.StreamTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_free: 1]
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPCWorker}
  alias Snakepit.Test.Beacon

  setup_all do
    %{pool: start_pool(pool_size: 1, max_concurrent_streams: 4)}
  end

  # However a stream ended, its slot is free and no message of it is left.
  setup %{pool: pool} do
    on_exit(fn -> await_free(pool) end)
  end

  defp collect(command, args, opts) do
    test = self()
    result = Snakepit.execute_stream(command, args, &send(test, {:chunk, &1}), opts)
    {result, received()}
  end

  defp received do
    receive do
      {:chunk, chunk} -> [chunk | received()]
    after
      0 -> []
    end
  end

  describe "execute_stream" do
    test "calls back with every chunk, in order, the last one final", %{pool: pool} do
      assert {:ok, chunks} = collect("ping_stream", %{count: 5}, pool: pool)
      assert Enum.map(chunks, & &1["index"]) == [1, 2, 3, 4, 5]
      assert Enum.map(chunks, & &1["is_final"]) == [false, false, false, false, true]
    end

    test "ends with a final chunk of its own without a result", %{pool: pool} do
      assert {:ok, chunks} = collect("count", %{n: 2}, pool: pool)
      assert [%{"n" => 0, "is_final" => false}, %{"n" => 1, "is_final" => false}, last] = chunks
      assert last == %{"is_final" => true}
    end

    test "of nothing is one final chunk", %{pool: pool} do
      assert collect("count", %{n: 0}, pool: pool) == {:ok, [%{"is_final" => true}]}
    end

    test "has the result as the final chunk", %{pool: pool} do
      for command <- ["count_with_result", "count_async"] do
        assert {:ok, [_, _, _, last]} = collect(command, %{n: 3}, pool: pool)
        assert last == %{"total" => 3, "is_final" => true}
      end
    end

    test "runs the callback in the caller", %{pool: pool} do
      test = self()
      callback = fn _chunk -> assert self() == test end
      assert :ok = Snakepit.execute_stream("count", %{n: 1}, callback, pool: pool)
    end

    test "takes many chunks through a small window", %{pool: pool} do
      for window <- [1, 2, 3, 64] do
        assert {:ok, chunks} = collect("count", %{n: 500}, pool: pool, window: window)
        assert length(chunks) == 501
      end
    end

    test "takes chunks larger than the buffer", %{pool: pool} do
      opts = [pool: pool, max_buffer: 1_000]
      assert {:ok, chunks} = collect("count", %{n: 20, size: 10_000}, opts)
      assert length(chunks) == 21
      assert Enum.all?(Enum.take(chunks, 20), &(byte_size(&1["data"]) == 10_000))
    end

    test "keeps the producer within the window", %{pool: pool} do
      beacon = Beacon.open()
      test = self()

      consumer =
        spawn_link(fn ->
          Snakepit.execute_stream(
            "produced",
            %{beacon: beacon.port, n: 1_000},
            fn chunk ->
              send(test, {:at, chunk["n"]})
              receive do: (:next -> :ok)
            end,
            pool: pool,
            window: 10,
            timeout: :infinity
          )
        end)

      assert_receive {:at, 0}, 5_000
      # Ten chunks are out and one may wait at the generator's yield; no more come while the
      # first is not dealt with, however long that takes. The health check passes through
      # the same worker, so what it was going to make it has made.
      [%{pid: worker}] = Snakepit.list_workers(pool)
      for _turn <- 1..20, do: {:ok, _} = GRPCWorker.get_health(worker)
      made = length(Beacon.texts(beacon))
      assert made in 1..12
      for _turn <- 1..20, do: {:ok, _} = GRPCWorker.get_health(worker)
      assert Beacon.texts(beacon) |> length() <= 12 - made

      send(consumer, :next)
      assert_receive {:at, 1}, 5_000
      kill(consumer)
    end

    test "runs in a session", %{pool: pool} do
      assert :ok =
               Snakepit.execute_in_session_stream("s", "count", %{n: 1}, fn _ -> :ok end,
                 pool: pool
               )
    end
  end

  describe "an error midway" do
    test "comes after the chunks before it", %{pool: pool} do
      assert {{:error, error}, chunks} = collect("fail_after", %{n: 2}, pool: pool)
      assert %Error{kind: :python, python_type: "RuntimeError", message: "failed after 2"} = error
      assert [%{"n" => 0}, %{"n" => 1}, %{"error" => text, "is_final" => true}] = chunks
      assert text =~ "failed after 2"
    end

    test "of an object that cannot be sent names its place", %{pool: pool} do
      assert {{:error, %Error{kind: :encoding, message: message}}, [%{"n" => 0}, %{"error" => _}]} =
               collect("give_object_after", %{n: 1}, pool: pool)

      assert message =~ "bad[0]"
    end

    test "is not taken for one because of a key", %{pool: pool} do
      assert {:ok, [_, %{"error" => "only a word"}]} = collect("final_error_key", %{}, pool: pool)

      assert [_, %{"error" => "only a word"}] =
               Enum.to_list(Snakepit.stream!("final_error_key", %{}, pool: pool))
    end
  end

  describe "Python is cancelled" do
    for command <- ["watched", "watched_async"] do
      test "when the callback halts (#{command})", %{pool: pool} do
        beacon = Beacon.open()
        callback = fn chunk -> if chunk["n"] == 3, do: :halt end

        assert Snakepit.execute_stream(unquote(command), %{beacon: beacon.port}, callback,
                 pool: pool
               ) ==
                 :ok

        Beacon.await(beacon, "closed")
        refute_received {_ref, {:chunks, _}}
      end

      test "when the caller is killed (#{command})", %{pool: pool} do
        beacon = Beacon.open()
        test = self()

        caller =
          spawn(fn ->
            Snakepit.execute_stream(unquote(command), %{beacon: beacon.port}, &send(test, &1),
              pool: pool
            )
          end)

        assert_receive %{"n" => 0}, 5_000
        kill(caller)
        Beacon.await(beacon, "closed")
      end
    end

    test "when the callback raises, and the exception goes on", %{pool: pool} do
      beacon = Beacon.open()
      args = %{beacon: beacon.port}

      try do
        Snakepit.execute_stream("watched", args, fn _ -> raise "enough" end, pool: pool)
      rescue
        error in RuntimeError ->
          assert error.message == "enough"
          assert [{__MODULE__, _, _, _} | _] = __STACKTRACE__
      else
        _ -> flunk("nothing was raised")
      end

      Beacon.await(beacon, "closed")
      refute_received {_ref, {:chunks, _}}
    end

    test "when the callback throws or exits", %{pool: pool} do
      beacon = Beacon.open()
      args = %{beacon: beacon.port}

      assert catch_throw(
               Snakepit.execute_stream("watched", args, fn _ -> throw(:out) end, pool: pool)
             ) ==
               :out

      Beacon.await(beacon, "closed")

      assert catch_exit(
               Snakepit.execute_stream("watched", args, fn _ -> exit(:out) end, pool: pool)
             ) ==
               :out

      Beacon.await(beacon, "closed")
      refute_received {_ref, {:chunks, _}}
    end

    test "when the deadline passes", %{pool: pool} do
      beacon = Beacon.open()
      args = %{beacon: beacon.port}

      assert Snakepit.execute_stream("watched", args, fn _ -> :ok end, pool: pool, timeout: 100) ==
               {:error, :worker_timeout}

      Beacon.await(beacon, "closed")
    end

    test "when the deadline passes in the callback", %{pool: pool} do
      beacon = Beacon.open()

      slow = fn _chunk ->
        receive do
          :never -> :ok
        after
          60 -> :ok
        end
      end

      assert Snakepit.execute_stream("watched", %{beacon: beacon.port}, slow,
               pool: pool,
               timeout: 100
             ) ==
               {:error, :worker_timeout}

      Beacon.await(beacon, "closed")
    end

    test "when it is silent for too long", %{pool: pool} do
      beacon = Beacon.open()
      args = %{beacon: beacon.port, n: 2}

      assert {{:error, :chunk_timeout}, chunks} =
               collect("silent_after", args, pool: pool, chunk_timeout: 100)

      assert [%{"n" => 0}, %{"n" => 1}] = Enum.map(chunks, &Map.delete(&1, "is_final"))
      Beacon.release(beacon, Beacon.await(beacon, "silent"))
    end
  end

  describe "stream!" do
    test "is the chunks as an enumerable", %{pool: pool} do
      stream = Snakepit.stream!("count_with_result", %{n: 3}, pool: pool)

      assert [%{"n" => 0}, %{"n" => 1}, %{"n" => 2}, %{"total" => 3, "is_final" => true}] =
               Enum.to_list(stream)

      # And again: it runs when it is consumed.
      assert Enum.count(stream) == 4
    end

    test "takes many chunks through any window", %{pool: pool} do
      for window <- [1, 2, 7, 256] do
        stream = Snakepit.stream!("count", %{n: 1_000}, pool: pool, window: window)

        assert stream |> Stream.reject(& &1["is_final"]) |> Enum.map(& &1["n"]) ==
                 Enum.to_list(0..999)
      end
    end

    test "is cancelled when it is not consumed to the end", %{pool: pool} do
      beacon = Beacon.open()
      stream = Snakepit.stream!("watched", %{beacon: beacon.port}, pool: pool)
      assert [%{"n" => 0}, %{"n" => 1}] = Enum.take(stream, 2)
      Beacon.await(beacon, "closed")
      refute_received {_ref, {:chunks, _}}
    end

    test "two can be consumed in turns", %{pool: pool} do
      one = Snakepit.stream!("count", %{n: 10}, pool: pool)
      assert Enum.zip(one, one) |> length() == 11
    end

    test "raises what went wrong, after the chunks before it", %{pool: pool} do
      test = self()
      stream = Snakepit.stream!("fail_after", %{n: 2}, pool: pool)

      error =
        assert_raise Error, fn -> Enum.each(stream, &send(test, {:chunk, &1})) end

      assert %{kind: :python, message: "failed after 2"} = error
      assert [%{"n" => 0}, %{"n" => 1}] = received()
    end

    test "raises for arguments and options", %{pool: pool} do
      assert_raise Error, ~r/to be a map/, fn -> Snakepit.stream!("count", nil, pool: pool) end
      assert_raise ArgumentError, fn -> Snakepit.stream!("count", %{}, pol: pool) end
      assert_raise Error, fn -> Enum.to_list(Snakepit.stream!("count", %{n: "x"}, pool: pool)) end
    end
  end

  describe "start_stream" do
    test "sends every chunk and then :done", %{pool: pool} do
      {:ok, stream} = Snakepit.start_stream("count", %{n: 2}, pool: pool)
      %Snakepit.Stream{ref: ref} = stream
      assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
      assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 1}}}, 5_000
      assert_receive {:snakepit, ^ref, {:chunk, %{"is_final" => true}}}, 5_000
      assert_receive {:snakepit, ^ref, :done}, 5_000
      await_free(pool)
      refute_received {:snakepit, ^ref, _more}
      # Named here so that the stream is not collected before.
      assert inspect(stream) == ~s(#Snakepit.Stream<"count" on #{stream.worker_id}>)
    end

    test "sends the error last", %{pool: pool} do
      {:ok, %{ref: ref} = stream} = Snakepit.start_stream("fail_after", %{n: 1}, pool: pool)
      assert_receive {:snakepit, ^ref, {:error, %Error{kind: :python}}}, 5_000
      assert_received {:snakepit, ^ref, {:chunk, %{"n" => 0}}}
      assert :ok = Snakepit.cancel(stream)
    end

    test "goes on when chunks are acknowledged", %{pool: pool} do
      {:ok, stream} = Snakepit.start_stream("count", %{n: 10}, pool: pool, window: 2)

      for n <- 0..9 do
        assert_receive {:snakepit, _ref, {:chunk, %{"n" => ^n}}}, 5_000
        Snakepit.ack(stream)
      end

      assert_receive {:snakepit, _ref, :done}, 5_000
    end

    test "leaves no message behind when it is cancelled", %{pool: pool} do
      beacon = Beacon.open()
      {:ok, stream} = Snakepit.start_stream("watched", %{beacon: beacon.port}, pool: pool)
      assert_receive {:snakepit, _ref, {:chunk, %{"n" => 3}}}, 5_000
      assert Snakepit.cancel(stream) == :ok
      Beacon.await(beacon, "closed")
      refute_received {:snakepit, _ref, _any}
      assert Snakepit.cancel(stream) == :ok
    end

    test "ends with its owner", %{pool: pool} do
      beacon = Beacon.open()

      owner =
        in_process(fn -> Snakepit.start_stream("watched", %{beacon: beacon.port}, pool: pool) end)

      assert_receive {^owner, {:ok, %Snakepit.Stream{}}}, 5_000
      Beacon.await(beacon, "started")
      kill(owner)
      Beacon.await(beacon, "closed")
    end

    test "of bad arguments does not begin", %{pool: pool} do
      assert {:error, %Error{kind: :invalid_arguments}} =
               Snakepit.start_stream("count", 1, pool: pool)

      assert {:error, %Error{kind: :encoding}} =
               Snakepit.start_stream("count", %{n: self()}, pool: pool)

      assert Snakepit.start_stream("count", %{}, pool: pool, timeout: 0) ==
               {:error, :worker_timeout}
    end
  end

  test "a callback must be a function of one argument", %{pool: pool} do
    assert_raise ArgumentError, ~r/a function of one argument/, fn ->
      Snakepit.execute_stream("count", %{n: 1}, fn -> :ok end, pool: pool)
    end
  end
end
