defmodule Snakepit.Streams.ContractTest do
  # What holds for a server stream however it is consumed, in a session or not, and whether its
  # handler is async or not.
  use ExUnit.Case, async: true

  import Snakepit.Test.StreamHelper

  alias Snakepit.{Error, GRPCWorker}

  setup_all do
    %{pool: start_pool(max_message_size: 1_000_000)}
  end

  setup %{pool: pool} = context do
    session = if context[:in_session], do: "session #{System.unique_integer()}"
    on_exit(fn -> await_free(pool) end)
    %{opts: [pool: pool, session_id: session] |> Keyword.reject(&match?({_, nil}, &1))}
  end

  for shape <- shapes(), in_session <- [false, true], suffix <- ["", "_async"] do
    handler = if suffix == "", do: "sync", else: "async"
    describe_as = "#{shape}#{if in_session, do: " in a session"}, #{handler} handler:"

    @shape shape
    @suffix suffix

    @tag in_session: in_session
    test "#{describe_as} every chunk in order, and one final", %{opts: opts} do
      assert {chunks, :ok} = collect(@shape, "numbers" <> @suffix, %{n: 500}, opts)
      {numbered, [final]} = Enum.split(chunks, 500)
      assert numbered == for(n <- 0..499, do: %{"n" => n, "is_final" => false})
      assert final == %{"is_final" => true}
      assert_no_stray_messages()
    end

    @tag in_session: in_session
    test "#{describe_as} a result is the final chunk", %{opts: opts} do
      assert {chunks, :ok} = collect(@shape, "numbers_total" <> @suffix, %{n: 2}, opts)

      assert chunks == [
               %{"n" => 0, "is_final" => false},
               %{"n" => 1, "is_final" => false},
               %{"total" => 2, "is_final" => true}
             ]
    end

    @tag in_session: in_session
    test "#{describe_as} a stream of nothing is one final chunk", %{opts: opts} do
      assert {[%{"is_final" => true}], :ok} =
               collect(@shape, "numbers" <> @suffix, %{n: 0}, opts)
    end

    if suffix == "" do
      @tag in_session: in_session
      test "#{describe_as} chunks of all sizes arrive whole and in order", %{opts: opts} do
        assert {chunks, :ok} = collect(@shape, "of_all_sizes", %{n: 40}, opts)
        {chunks, [_final]} = Enum.split(chunks, 40)

        for {chunk, n} <- Enum.with_index(chunks) do
          assert chunk["n"] == n

          case rem(n, 4) do
            0 -> assert chunk["rows"] == Enum.to_list(0..39_999)
            1 -> assert chunk["rows"] == [n]
            2 -> assert chunk["data"] == :binary.copy(<<255>>, 100_000)
            3 -> assert chunk["data"] == <<255>>
          end
        end
      end

      @tag in_session: in_session
      test "#{describe_as} what Elixir has no form for ends the stream, behind the chunks before it",
           %{opts: opts} do
        for n <- [0, 3] do
          {chunks, ending} = collect(@shape, "clashes_after", %{n: n}, opts)
          assert {:error, %Error{kind: :encoding, message: message}} = ending
          assert message =~ "chunk.value"
          assert Enum.map(chunks, & &1["n"]) == Enum.take(0..9, n)
          assert_no_stray_messages()
        end
      end
    end

    @tag in_session: in_session
    test "#{describe_as} any window and any buffer let all chunks through", %{opts: opts} do
      for limits <- [[window: 1], [window: 2], [window: 7], [max_buffer: 1], [max_buffer: 100]] do
        assert {chunks, :ok} = collect(@shape, "numbers" <> @suffix, %{n: 300}, limits ++ opts)
        assert Enum.map(chunks, & &1["n"]) == Enum.to_list(0..299) ++ [nil]
      end
    end

    @tag in_session: in_session
    test "#{describe_as} an exception comes after the chunks before it", %{opts: opts} do
      for k <- [0, 1, 70] do
        {chunks, ending} = collect(@shape, "numbers_fail" <> @suffix, %{n: k}, opts)
        assert {:error, %Error{kind: :python, python_type: "ValueError"} = error} = ending
        assert error.message == "no more than #{k}"
        assert error.command == "numbers_fail" <> @suffix
        assert error.worker_id =~ "pool_"
        assert error.traceback =~ "stream_handlers.py"
        assert error.traceback =~ ~s(raise ValueError(f"no more than {n}"\))
        refute error.traceback =~ "snakepit_bridge"
        assert_chunks_and_error(@shape, chunks, k, "no more than #{k}")
      end
    end

    @tag in_session: in_session
    test "#{describe_as} a chunk that cannot be encoded is an error with its place",
         %{opts: opts} do
      {chunks, ending} = collect(@shape, "numbers_odd" <> @suffix, %{n: 2}, opts)
      assert {:error, %Error{kind: :encoding, message: message}} = ending
      assert message =~ "chunk.layers[1].weights"
      assert message =~ "object"
      assert_chunks_and_error(@shape, chunks, 2, message)
    end

    @tag in_session: in_session
    test "#{describe_as} a chunk over the limit is an error, and the worker goes on",
         %{opts: opts, pool: pool} do
      args = %{n: 2, size: 2_000_000}
      {chunks, ending} = collect(@shape, "numbers_large" <> @suffix, args, opts)
      assert {:error, %Error{kind: :too_large, message: message}} = ending
      assert message =~ "2000"
      assert_chunks_and_error(@shape, chunks, 2, message)
      assert {_chunks, :ok} = collect(@shape, "numbers" <> @suffix, %{n: 2}, opts)
      assert %{restarts: 0} = Snakepit.get_stats(pool)
    end

    @tag in_session: in_session
    test "#{describe_as} stopping early is no error and leaves nothing behind", %{opts: opts} do
      for count <- [1, 2, 100] do
        assert {chunks, :ok} = take(@shape, "numbers" <> @suffix, %{n: 100_000}, opts, count)
        assert Enum.map(chunks, & &1["n"]) == Enum.to_list(0..(count - 1))
        assert_no_stray_messages()
      end
    end

    @tag in_session: in_session, capture_log: true
    test "#{describe_as} an exception of the consumer is not lost", %{opts: opts, pool: pool} do
      fail = fn chunk -> if chunk["n"] == 2, do: raise(ArgumentError, "enough") end

      if @shape == :messages do
        # Here the consumer is a process of its own, and it dies.
        {_pid, monitor} =
          spawn_monitor(fn ->
            consume(@shape, "numbers" <> @suffix, %{n: 100_000}, opts, fail)
          end)

        assert_receive {:DOWN, ^monitor, :process, _pid, {%ArgumentError{}, _stack}}, 5_000
      else
        assert_raise ArgumentError, "enough", fn ->
          consume(@shape, "numbers" <> @suffix, %{n: 100_000}, opts, fail)
        end
      end

      await_free(pool)
      assert_no_stray_messages()
    end
  end

  # An enumerable has no chunk for an error: it raises.
  defp assert_chunks_and_error(:enumerable, chunks, count, _message),
    do: assert(Enum.map(chunks, & &1["n"]) == Enum.to_list(0..(count - 1)//1))

  defp assert_chunks_and_error(_shape, chunks, count, message) do
    {numbered, [last]} = Enum.split(chunks, count)
    assert numbered == for(n <- 0..(count - 1)//1, do: %{"n" => n, "is_final" => false})
    assert last == %{"error" => message, "is_final" => true}
  end

  for shape <- shapes() do
    @shape shape

    test "#{shape}: the state of a session goes on from stream to stream", %{pool: pool} do
      opts = [pool: pool, session_id: "counting #{@shape}"]
      numbers = fn chunks -> for %{"n" => n} <- chunks, do: n end
      assert {chunks, :ok} = collect(@shape, "session_numbers", %{n: 3}, opts)
      assert numbers.(chunks) == [1, 2, 3]
      assert {chunks, :ok} = collect(@shape, "session_numbers_async", %{n: 2}, opts)
      assert numbers.(chunks) == [4, 5]
    end

    test "#{shape}: keys of a chunk that look like Snakepit's own are data", %{opts: opts} do
      assert {chunks, :ok} = collect(@shape, "own_flags", %{}, opts)

      assert chunks == [
               %{"n" => 0, "is_final" => false},
               %{"n" => 1, "error" => "a word", "is_final" => false},
               %{"n" => 2, "error" => "another", "is_final" => true}
             ]
    end

    test "#{shape}: an unknown command is an error without a chunk before it", %{opts: opts} do
      {chunks, ending} = collect(@shape, "numbrs", %{n: 1}, opts)
      assert {:error, %Error{kind: :unknown_command, message: message}} = ending
      assert message =~ "numbers"
      assert Enum.all?(chunks, &match?(%{"error" => _, "is_final" => true}, &1))
    end
  end

  test "a lazy stream does nothing before its first element is asked for", %{pool: pool} do
    %{requests: before} = Snakepit.get_stats(pool)
    stream = "producer" |> Snakepit.stream!(%{key: "lazy"}, pool: pool) |> Stream.map(& &1["n"])
    assert %{requests: ^before, busy_slots: 0} = Snakepit.get_stats(pool)
    assert {:ok, %{"made" => 0}} = Snakepit.execute("made_by", %{key: "lazy"}, pool: pool)
    assert Enum.take(stream, 3) == [0, 1, 2]
  end

  test "a lazy stream runs again each time it is enumerated", %{pool: pool} do
    stream = Snakepit.stream!("numbers_total", %{n: 3}, pool: pool)
    assert Enum.to_list(stream) == Enum.to_list(stream)
    assert Enum.count(stream) == 4
    assert Enum.take(stream, 1) == Enum.take(stream, 1)
  end

  test "lazy streams are consumed in step", %{pool: pool} do
    three = Snakepit.stream!("numbers", %{n: 3}, pool: pool)
    endless = Snakepit.stream!("numbers_async", %{n: 1_000_000}, pool: pool)
    assert [{0, 0}, {1, 1}, {2, 2}, {nil, 3}] = three |> Stream.zip(endless) |> numbers()
    assert [{0, 0}, {1, 1}, {2, 2}, {3, nil}] = endless |> Stream.zip(three) |> numbers()

    assert [{0, 10}, {1, 11}] =
             endless |> Stream.zip(10..11) |> Enum.map(&{n(elem(&1, 0)), elem(&1, 1)})

    await_free(pool)
    assert_no_stray_messages()
  end

  defp numbers(pairs), do: Enum.map(pairs, fn {a, b} -> {n(a), n(b)} end)
  defp n(chunk), do: chunk["n"]

  test "a lazy stream can be left by any function of Enum and Stream", %{pool: pool} do
    stream = "numbers" |> Snakepit.stream!(%{n: 1_000_000}, pool: pool) |> Stream.map(& &1["n"])
    assert Enum.find(stream, &(&1 > 41)) == 42
    assert Enum.at(stream, 7) == 7
    assert stream |> Stream.take_while(&(&1 < 3)) |> Enum.to_list() == [0, 1, 2]
    assert stream |> Stream.chunk_every(2) |> Enum.take(2) == [[0, 1], [2, 3]]

    assert Enum.reduce_while(stream, 0, &if(&1 < 5, do: {:cont, &2 + &1}, else: {:halt, &2})) ==
             10

    assert stream |> Stream.concat([:after]) |> Enum.take(1) == [0]
    assert catch_throw(Enum.each(stream, &throw(&1))) == 0
    await_free(pool)
    assert_no_stray_messages()
  end

  test "a stream can be started on one particular worker", %{pool: pool} do
    [%{pid: worker}] = Snakepit.list_workers(pool)
    test = self()
    callback = &send(test, {:chunk, &1["n"]})
    assert :ok = GRPCWorker.execute_stream(worker, "numbers", %{n: 1}, callback, pool: pool)
    assert_received {:chunk, 0}
    assert_received {:chunk, nil}
  end
end
