defmodule Snakepit.Streams.BidiStreamTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.StreamHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]

  alias Snakepit.Error
  alias Snakepit.Test.StreamBeacon, as: Beacon

  setup_all do
    %{pool: start_pool()}
  end

  setup %{pool: pool} do
    on_exit(fn -> await_free(pool) end)
    %{beacon: Beacon.open()}
  end

  defp run(command, args, input, opts, also \\ fn _chunk -> :ok end) do
    test = self()

    ending =
      Snakepit.execute_bidi_stream(
        command,
        args,
        input,
        fn chunk ->
          send(test, {:chunk, chunk})
          also.(chunk)
        end,
        opts
      )

    {received(), ending}
  end

  defp received do
    receive do
      {:chunk, chunk} -> [chunk | received()]
    after
      0 -> []
    end
  end

  # Until more waits for a busy process than the chunk it has sent itself.
  defp await_mail(pid) do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, n} when n < 2 -> await_mail(pid)
      _some -> :ok
    end
  end

  for suffix <- ["", "_async"] do
    handler = if suffix == "", do: "a sync handler", else: "an async handler"
    @suffix suffix

    test "#{handler} answers every element, in order", %{pool: pool} do
      for n <- [0, 1, 2_000] do
        input = Stream.map(1..n//1, &%{n: &1})
        assert {chunks, :ok} = run("doubled" <> @suffix, %{}, input, pool: pool)
        {answers, [final]} = Enum.split(chunks, n)
        assert answers == for(i <- 1..n//1, do: %{"n" => 2 * i, "is_final" => false})
        assert final == %{"is_final" => true}
      end
    end

    test "#{handler} may have a result", %{pool: pool} do
      input = [%{n: 1}, %{n: 2}]
      assert {chunks, :ok} = run("doubled_total" <> @suffix, %{}, input, pool: pool)
      assert List.last(chunks) == %{"total" => 2, "is_final" => true}
      assert length(chunks) == 3
    end

    test "#{handler} works with any window", %{pool: pool} do
      input = Stream.map(0..299, &%{n: &1})

      for limits <- [[window: 1], [window: 2], [window: 7], [max_buffer: 1], [max_buffer: 100]] do
        assert {chunks, :ok} = run("doubled" <> @suffix, %{}, input, [pool: pool] ++ limits)
        assert Enum.map(chunks, & &1["n"]) == for(n <- 0..299, do: 2 * n) ++ [nil]
      end
    end

    test "#{handler} may fail midway", %{pool: pool} do
      {input, _read, closed} = counted()
      {chunks, ending} = run("doubled_fail" <> @suffix, %{n: 3}, input, pool: pool)
      assert {:error, %Error{kind: :python, python_type: "ValueError"} = error} = ending
      assert error.traceback =~ "stream_handlers.py"

      assert [%{"n" => 0}, %{"n" => 2}, %{"n" => 4}, %{"error" => text, "is_final" => true}] =
               chunks

      assert text == "no more than 3"
      assert closed.() == 1
      assert_no_stray_messages()
    end

    test "#{handler} may end before its endless input", %{pool: pool} do
      {input, read, closed} = counted()
      opts = [pool: pool, window: 8]
      assert {chunks, :ok} = run("doubled_first" <> @suffix, %{n: 20}, input, opts)
      assert length(chunks) == 21
      assert read.() <= 20 + 8
      assert closed.() == 1
      assert_no_stray_messages()
    end

    test "#{handler} is cancelled when the callback halts", %{pool: pool, beacon: beacon} do
      {input, _read, closed} = counted()
      halt = fn _chunk -> :halt end
      args = %{beacon: beacon.port}
      assert {[%{"n" => 0}], :ok} = run("swallows" <> @suffix, args, input, [pool: pool], halt)
      Beacon.await(beacon, "ended")
      assert closed.() == 1
      assert_no_stray_messages()
    end

    test "#{handler}: an input that fails is heard while chunks come without end",
         %{pool: pool} do
      input = Stream.map([1], fn _ -> raise ArgumentError, "no row" end)

      assert_raise ArgumentError, "no row", fn ->
        run("pours", %{key: "heard" <> @suffix}, input, [pool: pool], fn _ -> :ok end)
      end
    end

    test "#{handler} is cancelled when the callback raises", %{pool: pool, beacon: beacon} do
      {input, _read, closed} = counted()
      fail = fn _chunk -> raise ArgumentError, "enough" end
      args = %{beacon: beacon.port}

      assert_raise ArgumentError, "enough", fn ->
        run("swallows" <> @suffix, args, input, [pool: pool], fail)
      end

      Beacon.await(beacon, "ended")
      assert closed.() == 1
    end

    test "#{handler} is cancelled when the caller is killed, and the input is not read on",
         %{pool: pool, beacon: beacon} do
      {input, read, _closed} = counted()
      test = self()

      caller =
        spawn(fn ->
          run("swallows" <> @suffix, %{beacon: beacon.port}, input, [pool: pool], &send(test, &1))
        end)

      assert_receive %{"n" => 0}, 5_000
      kill(caller)
      assert %{"by" => by} = Beacon.await(beacon, "ended")
      # The last one if it was still at its yield.
      assert by in ["Cancelled", "CancelledError", "GeneratorExit"]
      await_free(pool)
      until_now = read.()
      assert {_chunks, :ok} = run("doubled" <> @suffix, %{}, [%{n: 1}], pool: pool)
      assert read.() == until_now
    end

    test "#{handler} hears that its input failed, and the caller gets the exception",
         %{pool: pool} do
      input =
        Stream.map(0..10, fn n -> if n == 3, do: raise(ArgumentError, "no row"), else: %{n: n} end)

      assert_raise ArgumentError, "no row", fn ->
        run("doubled" <> @suffix, %{}, input, pool: pool)
      end

      assert List.starts_with?([0, 2, 4], Enum.map(received(), & &1["n"]))
      assert_no_stray_messages()
    end

    test "#{handler} does not answer a failed input to a caller that looks late", %{pool: pool} do
      caller = self()

      # Chunks wait when it fails, and the answer to it waits behind them.
      input =
        Stream.map(0..3, fn
          1 ->
            send(caller, {:next, self()})
            receive do: (:go_on -> %{n: 1})

          3 ->
            await_mail(caller)
            send(caller, :fails)
            raise ArgumentError, "no row"

          n ->
            %{n: n}
        end)

      look_late = fn
        %{"n" => 0} ->
          assert_receive {:next, feeder}, 5_000
          send(feeder, :go_on)
          assert_receive :fails, 5_000
          {:ok, _} = Snakepit.execute_client_stream("gathered", %{}, [], pool: pool)

        _later ->
          :ok
      end

      assert_raise ArgumentError, "no row", fn ->
        run("doubled" <> @suffix, %{}, input, [pool: pool], look_late)
      end

      assert List.starts_with?([0, 2, 4], Enum.map(received(), & &1["n"]))
      assert_no_stray_messages()
    end

    test "#{handler} never answers a failed input before its caller knows", %{pool: pool} do
      for _ <- 1..300 do
        assert_raise ArgumentError, fn ->
          run("doubled" <> @suffix, %{}, Stream.map([1], fn _ -> raise ArgumentError end),
            pool: pool
          )
        end

        assert {[], {:error, %Error{kind: :encoding}}} =
                 run("doubled" <> @suffix, %{}, [%{n: self()}], pool: pool)
      end
    end

    test "#{handler} is cancelled at the deadline", %{pool: pool, beacon: beacon} do
      {input, _read, closed} = counted()
      opts = [pool: pool, timeout: 150]
      args = %{beacon: beacon.port}
      assert {_chunks, {:error, :worker_timeout}} = run("swallows" <> @suffix, args, input, opts)
      Beacon.await(beacon, "ended")
      assert closed.() == 1
      assert_no_stray_messages()
    end
  end

  test "both directions wait, each for its own side", %{pool: pool} do
    # A handler that never reads: the input is read up to the window and no further, while
    # chunks come as fast as they are taken.
    {input, read, closed} = counted()
    opts = [pool: pool, window: 16]
    args = %{key: "pours"}

    {chunks, :ok} =
      run("pours", args, input, opts, fn chunk ->
        {:ok, %{"made" => made}} = Snakepit.execute("made_by", args, pool: pool)
        assert made - chunk["n"] <= 16
        if chunk["n"] == 200, do: :halt
      end)

    assert length(chunks) == 200
    assert read.() == 16
    assert closed.() == 1
  end

  test "the callback may wait for what the input does", %{pool: pool, beacon: beacon} do
    test = self()

    input =
      Stream.map(1..100, fn n ->
        if n == 50, do: send(test, :fifty)
        %{n: n}
      end)

    for command <- ["swallows", "swallows_async"] do
      assert {[_, _], :ok} =
               run(command, %{beacon: beacon.port}, input, [pool: pool, window: 10], fn
                 %{"is_final" => false} -> assert_receive :fifty, 5_000
                 _final -> :ok
               end)
    end
  end

  test "the input may wait for what the callback does", %{pool: pool} do
    test = self()

    input =
      Stream.map(0..20, fn n ->
        send(test, {:asked, self()})
        if n > 0, do: receive(do: (:next -> :ok))
        %{n: n}
      end)

    next = fn
      %{"is_final" => false} -> receive(do: ({:asked, feeder} -> send(feeder, :next)))
      _final -> :ok
    end

    # The first element asks too, and nobody waits for that.
    first = fn chunk ->
      if chunk["n"] == 0, do: receive(do: ({:asked, _feeder} -> next.(chunk))), else: next.(chunk)
    end

    last = fn chunk -> if chunk["n"] == 40, do: :halt, else: first.(chunk) end
    assert {chunks, :ok} = run("doubled", %{}, input, [pool: pool], last)
    assert length(chunks) == 21
  end

  test "a reader of the input that is killed is an exit of the call, also when exits are trapped",
       %{pool: pool} do
    Process.flag(:trap_exit, true)
    {input, _read, _closed} = counted()
    input = Stream.each(input, fn %{n: n} -> if n == 5, do: Process.exit(self(), :kill) end)
    assert catch_exit(run("doubled", %{}, input, pool: pool)) == :killed
    received()
    assert_no_stray_messages()
  end

  test "an input that waits for ever does not keep the call", %{pool: pool} do
    input = Stream.concat([%{n: 1}], Stream.repeatedly(fn -> Process.sleep(:infinity) end))
    assert {[%{"n" => 2}, _final], :ok} = run("doubled_first", %{n: 1}, input, pool: pool)
    assert_no_stray_messages()
  end

  test "an element that cannot be sent is an error with its place", %{pool: pool} do
    input = [%{n: 1}, %{n: %{pid: self()}}, %{n: 3}]

    assert {_chunks, {:error, %Error{kind: :encoding, message: message}}} =
             run("doubled", %{}, input, pool: pool)

    assert message =~ "chunk.n.pid"
  end

  test "runs in a session, and of another kind of command is an error", %{pool: pool} do
    opts = [pool: pool, session_id: "bidi"]
    assert {[%{"n" => 2}, _final], :ok} = run("doubled", %{}, [%{n: 1}], opts)

    assert {_chunks, {:error, %Error{kind: :invalid_arguments, message: message}}} =
             run("total", %{}, [%{n: 1}], pool: pool)

    assert message =~ "execute_client_stream"
  end

  test "the streams of two processes do not mix", %{pool: pool} do
    tasks =
      for base <- [0, 1_000_000] do
        Task.async(fn ->
          input = Stream.map(1..2_000, &%{n: base + &1})
          {chunks, :ok} = run("doubled", %{}, input, pool: pool)

          assert Enum.take(chunks, 2_000) |> Enum.map(& &1["n"]) ==
                   for(n <- 1..2_000, do: 2 * (base + n))
        end)
      end

    Task.await_many(tasks, 20_000)
  end
end
