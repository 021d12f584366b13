defmodule Snakepit.Streams.ClientStreamTest do
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

  # A sync handler that waits in C hears of its end when it comes back.
  defp step_until_ended(beacon) do
    case Beacon.next(beacon) do
      %{"event" => "took"} = step ->
        Beacon.release(beacon, step)
        step_until_ended(beacon)

      %{"event" => "ended"} = ended ->
        ended
    end
  end

  test "every thread of a handler hears of the end of its input", %{pool: pool, beacon: beacon} do
    args = %{readers: 4, beacon: beacon.port}

    # Nothing is sent before all of them wait, most likely, and then only the end.
    input =
      Stream.resource(
        fn -> Beacon.await_many(beacon, "reading", 4) end,
        fn _events -> {:halt, nil} end,
        & &1
      )

    assert {:ok, %{"counts" => [0, 0, 0, 0]}} =
             Snakepit.execute_client_stream("shared_input", args, input,
               pool: pool,
               timeout: 5_000
             )
  end

  for suffix <- ["", "_async"] do
    handler = if suffix == "", do: "a sync handler", else: "an async handler"
    @suffix suffix

    test "#{handler} gets every element, and its result is the result", %{pool: pool} do
      total = &Snakepit.execute_client_stream("total" <> @suffix, %{}, &1, pool: pool)
      assert total.([]) == {:ok, %{"sum" => 0}}
      assert total.([%{n: 5}]) == {:ok, %{"sum" => 5}}
      assert total.(Stream.map(1..10_000, &%{"n" => &1})) == {:ok, %{"sum" => 50_005_000}}
    end

    test "#{handler} gets the elements in order and as they are", %{pool: pool} do
      values = [%{a: 1}, %{"b" => [1, %{c: nil}]}, %{}, %{d: Snakepit.binary("x")}]

      assert {:ok, %{"chunks" => chunks}} =
               Snakepit.execute_client_stream("gathered" <> @suffix, %{}, values, pool: pool)

      assert chunks == [%{"a" => 1}, %{"b" => [1, %{"c" => nil}]}, %{}, %{"d" => "x"}]
    end

    test "#{handler} gets everything through any window", %{pool: pool} do
      input = Stream.map(1..300, &%{n: &1})

      for limits <- [[window: 1], [window: 2], [window: 7], [max_buffer: 1], [max_buffer: 100]] do
        opts = [pool: pool] ++ limits
        answer = Snakepit.execute_client_stream("total" <> @suffix, %{}, input, opts)
        assert answer == {:ok, %{"sum" => 45_150}}
      end
    end

    test "#{handler} gets elements of any size", %{pool: pool} do
      wide = Map.new(1..5_000, &{"key #{&1}", &1})
      input = [wide, %{data: :binary.copy(<<7>>, 3_000_000)}, %{last: true}]

      assert {:ok, %{"chunks" => [^wide, %{"data" => data}, %{"last" => true}]}} =
               Snakepit.execute_client_stream("gathered" <> @suffix, %{}, input, pool: pool)

      assert byte_size(data) == 3_000_000
    end

    test "#{handler} is told the end of its input", %{pool: pool, beacon: beacon} do
      args = %{beacon: beacon.port}
      input = [%{n: 1}, %{n: 2}]
      command = "told_input" <> @suffix

      assert {:ok, %{"count" => 2}} =
               Snakepit.execute_client_stream(command, args, input, pool: pool)

      assert %{"type" => "complete", "count" => 2} = Beacon.await(beacon, "input")
    end

    test "#{handler} may return before the end of an endless input", %{pool: pool} do
      for n <- [0, 1, 5, 100] do
        {input, read, closed} = counted()
        opts = [pool: pool, window: 8]

        assert {:ok, %{"taken" => taken}} =
                 Snakepit.execute_client_stream("first" <> @suffix, %{n: n}, input, opts)

        assert taken == Enum.to_list(0..(n - 1)//1)
        assert read.() <= n + 8
        assert closed.() == 1
      end

      assert_no_stray_messages()
    end

    test "#{handler} that fails is an error, and the input is closed", %{pool: pool} do
      {input, _read, closed} = counted()
      command = "total_fail" <> @suffix

      assert {:error, %Error{kind: :python, python_type: "ValueError"} = error} =
               Snakepit.execute_client_stream(command, %{n: 3}, input, pool: pool)

      assert error.message == "no more than 3"
      assert error.traceback =~ "stream_handlers.py"
      assert closed.() == 1
      assert_no_stray_messages()
    end

    test "#{handler} hears that its input failed, and the caller gets the exception",
         %{pool: pool, beacon: beacon} do
      command = "told_input" <> @suffix

      fail = fn how ->
        input = Stream.map(0..10, fn n -> if n == 3, do: how.(), else: %{n: n} end)
        Snakepit.execute_client_stream(command, %{beacon: beacon.port}, input, pool: pool)
      end

      exception =
        assert_raise ArgumentError, fn -> fail.(fn -> raise ArgumentError, "no row" end) end

      assert exception.message == "no row"
      assert %{"type" => "InputFailed", "count" => 3} = input = Beacon.await(beacon, "input")
      assert input["message"] =~ "no row"

      assert catch_throw(fail.(fn -> throw(:ball) end)) == :ball
      assert %{"type" => "InputFailed", "message" => message} = Beacon.await(beacon, "input")
      assert message =~ ":ball"

      assert catch_exit(fail.(fn -> exit(:gone) end)) == :gone
      assert %{"type" => "InputFailed", "message" => message} = Beacon.await(beacon, "input")
      assert message =~ ":gone"
      assert_no_stray_messages()
    end

    test "#{handler} hears that an element cannot be sent", %{pool: pool, beacon: beacon} do
      for {bad, place} <- [{%{n: [self()]}, "chunk.n[0]"}, {[n: 1], "to be a map"}] do
        {input, _read, closed} = counted()
        input = input |> Stream.take(2) |> Stream.concat([bad]) |> Stream.concat(input)
        args = %{beacon: beacon.port}

        assert {:error, %Error{kind: :encoding, message: message}} =
                 Snakepit.execute_client_stream("told_input" <> @suffix, args, input, pool: pool)

        assert message =~ place
        assert %{"type" => "InputFailed", "count" => 2} = Beacon.await(beacon, "input")
        assert closed.() == 1
      end
    end

    test "#{handler} is never more than a window behind what was read",
         %{pool: pool, beacon: beacon} do
      {input, read, closed} = counted()
      test = self()

      {caller, monitor} =
        spawn_monitor(fn ->
          input = Stream.take(input, 60)
          opts = [pool: pool, window: 8]
          args = %{beacon: beacon.port}

          send(
            test,
            {:answer, Snakepit.execute_client_stream("stepwise" <> @suffix, args, input, opts)}
          )
        end)

      for taken <- 1..60 do
        assert %{"n" => ^taken} = step = Beacon.await(beacon, "took")
        # While Python stands still, so does the input: at the window, and not before it.
        eventually(fn -> read.() >= min(taken + 4, 60) end)

        still =
          for _ <- 1..20,
              do:
                (
                  Process.info(caller, :status)
                  read.()
                )

        assert Enum.max(still) <= taken + 8
        Beacon.release(beacon, step)
      end

      assert_receive {:answer, {:ok, %{"count" => 60}}}, 5_000
      assert_receive {:DOWN, ^monitor, :process, _pid, :normal}, 5_000
      assert closed.() == 1
      assert read.() == 60
    end

    test "#{handler} is cancelled when the caller is killed", %{pool: pool, beacon: beacon} do
      command = "awaits_input" <> @suffix
      test = self()

      caller =
        spawn(fn ->
          input = Stream.repeatedly(fn -> send(test, :asked) && Process.sleep(:infinity) end)
          Snakepit.execute_client_stream(command, %{beacon: beacon.port}, input, pool: pool)
        end)

      assert_receive :asked, 5_000
      Beacon.await(beacon, "begun")
      kill(caller)
      assert %{"by" => by} = Beacon.await(beacon, "ended")
      assert by in ["Cancelled", "CancelledError"]
    end

    test "#{handler} is cancelled at the deadline, and the input is closed",
         %{pool: pool, beacon: beacon} do
      {input, read, closed} = counted()
      args = %{beacon: beacon.port}
      opts = [pool: pool, timeout: 150, window: 4]

      assert Snakepit.execute_client_stream("stepwise" <> @suffix, args, input, opts) ==
               {:error, :worker_timeout}

      assert %{"by" => by} = step_until_ended(beacon)
      assert by in ["Cancelled", "CancelledError"]
      assert read.() <= 2 + 4
      assert closed.() == 1
      assert_no_stray_messages()
    end
  end

  test "the input is read in the caller", %{pool: pool} do
    test = self()
    input = Stream.map(1..3, fn n -> assert(self() == test) && %{n: n} end)
    assert {:ok, %{"sum" => 6}} = Snakepit.execute_client_stream("total", %{}, input, pool: pool)
  end

  test "an input may itself be a stream of Python", %{pool: pool} do
    input =
      "numbers"
      |> Snakepit.stream!(%{n: 1_000}, pool: pool)
      |> Stream.reject(& &1["is_final"])
      |> Stream.map(&Map.take(&1, ["n"]))

    assert {:ok, %{"sum" => 499_500}} =
             Snakepit.execute_client_stream("total", %{}, input, pool: pool)
  end

  test "runs in a session", %{pool: pool} do
    opts = [pool: pool, session_id: "clients"]
    assert {:ok, %{"sum" => 1}} = Snakepit.execute_client_stream("total", %{}, [%{n: 1}], opts)
  end

  test "of another kind of command is an error that says how to call it", %{pool: pool} do
    assert {:error, %Error{kind: :invalid_arguments, message: message}} =
             Snakepit.execute_client_stream("numbers", %{n: 1}, [%{n: 1}], pool: pool)

    assert message =~ "execute_stream"

    assert {:error, %Error{kind: :invalid_arguments, message: message}} =
             Snakepit.execute_stream("total", %{}, fn _ -> :ok end, pool: pool)

    assert message =~ "execute_client_stream"
  end
end
