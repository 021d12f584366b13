defmodule Snakepit.Streams.RaceTest do
  # Start, finish, cancel and the death of the owner, in every order in which they can come.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]

  alias Snakepit.Test.StreamBeacon, as: Beacon

  setup_all do
    %{pool: start_pool(max_concurrent_streams: 16)}
  end

  setup %{pool: pool} do
    on_exit(fn ->
      await_free(pool)
      assert %{restarts: 0} = Snakepit.get_stats(pool)
    end)
  end

  defp spin(turns), do: for(_ <- 1..turns//1, do: :erlang.yield())

  for command <- ["numbers", "numbers_async"] do
    @command command

    test "a cancel at any moment is the end of all messages (#{command})", %{pool: pool} do
      for round <- 1..1_000 do
        {:ok, stream} = Snakepit.start_stream(@command, %{n: 3}, pool: pool)
        # From before the worker has heard of the stream to after its end.
        spin(rem(round, 200))
        assert :ok = Snakepit.cancel(stream)
        assert_no_stray_messages()
      end
    end

    test "a stream that is not cancelled has one last message (#{command})", %{pool: pool} do
      for _round <- 1..300 do
        {:ok, %{ref: ref} = stream} = Snakepit.start_stream(@command, %{n: 3}, pool: pool)
        assert_receive {:snakepit, ^ref, :done}, 5_000
        for n <- [0, 1, 2], do: assert_received({:snakepit, ^ref, {:chunk, %{"n" => ^n}}})
        assert_received {:snakepit, ^ref, {:chunk, %{"is_final" => true}}}
        # Late, and of no effect.
        assert :ok = Snakepit.ack(stream, 4)
        assert :ok = Snakepit.cancel(stream)
        assert :ok = Snakepit.cancel(stream)
        assert_no_stray_messages()
      end
    end

    test "an owner that dies at any moment frees its slot (#{command})", %{pool: pool} do
      for round <- 1..300 do
        test = self()

        owner =
          spawn(fn ->
            {:ok, stream} = Snakepit.start_stream(@command, %{n: 100_000}, pool: pool)
            send(test, {:started, self()})
            Process.sleep(:infinity)
            Snakepit.cancel(stream)
          end)

        if rem(round, 2) == 0, do: assert_receive({:started, ^owner}, 5_000)
        spin(rem(round, 100))
        kill(owner)
      end

      await_free(pool)
    end

    test "an owner that ends as its stream does leaves nothing (#{command})", %{pool: pool} do
      1..500
      |> Task.async_stream(
        fn round ->
          {:ok, %{ref: ref}} = Snakepit.start_stream(@command, %{n: 1}, pool: pool)
          if rem(round, 2) == 0, do: assert_receive({:snakepit, ^ref, {:chunk, _}}, 5_000)
          ref
        end,
        max_concurrency: 16
      )
      |> Stream.run()

      await_free(pool)
    end
  end

  test "two processes may cancel and acknowledge the same stream at once", %{pool: pool} do
    for _round <- 1..200 do
      {:ok, %{ref: ref} = stream} =
        Snakepit.start_stream("numbers", %{n: 100_000}, pool: pool, window: 2)

      others =
        for function <- [&Snakepit.ack/1, &Snakepit.cancel/1, &Snakepit.cancel/1],
            do: Task.async(fn -> function.(stream) end)

      assert [:ok, :ok, :ok] = Task.await_many(others)
      # Another process cannot empty this one's mailbox; a cancel of its own does.
      assert :ok = Snakepit.cancel(stream)
      refute_received {:snakepit, ^ref, _any}
    end
  end

  test "a stream ends with the last reference to it", %{pool: pool} do
    beacon = Beacon.open()
    args = %{beacon: beacon.port}

    for command <- ["yields", "yields_async", "awaits"] do
      drop = fn ->
        {:ok, %{ref: ref}} = Snakepit.start_stream(command, args, pool: pool)
        assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
        ref
      end

      ref = drop.()
      :erlang.garbage_collect()
      Beacon.await(beacon, "ended")
      await_free(pool)
      flush(ref)
      refute_receive {:snakepit, ^ref, _any}, 20
    end
  end

  defp flush(ref) do
    receive do
      {:snakepit, ^ref, _any} -> flush(ref)
    after
      0 -> :ok
    end
  end

  test "a stream ends with the process that started it, whoever else holds it", %{pool: pool} do
    beacon = Beacon.open()
    test = self()

    owner =
      spawn(fn ->
        {:ok, stream} = Snakepit.start_stream("yields", %{beacon: beacon.port}, pool: pool)
        assert_receive {:snakepit, _ref, {:chunk, %{"n" => 0}}}, 5_000
        send(test, {:stream, stream})
        Process.sleep(:infinity)
      end)

    assert_receive {:stream, stream}, 5_000
    kill(owner)
    Beacon.await(beacon, "ended")
    await_free(pool)
    assert :ok = Snakepit.ack(stream)
    assert :ok = Snakepit.cancel(stream)
  end

  test "calls that leave one way or another in turns share the slots", %{pool: pool} do
    # More callers than slots: what one gives back, another takes at once.
    1..64
    |> Task.async_stream(
      fn caller ->
        for round <- 1..20 do
          opts = [pool: pool, window: 1 + rem(caller, 7)]
          args = %{n: 50}

          case rem(caller + round, 4) do
            0 -> assert {_, :ok} = take(:callback, "numbers", args, opts, 3)
            1 -> assert {_, :ok} = take(:enumerable, "numbers_async", args, opts, 3)
            2 -> assert {_, :ok} = take(:messages, "numbers", args, opts, 3)
            3 -> assert {_, :ok} = collect(:callback, "numbers_async", args, opts)
          end
        end

        assert_no_stray_messages()
      end,
      max_concurrency: 64,
      timeout: 60_000
    )
    |> Stream.run()
  end

  @tag :capture_log
  test "a pool that stops ends every stream, each with one last message" do
    pool = start_pool(shutdown_timeout: 300)
    beacon = Beacon.open()
    args = %{beacon: beacon.port}

    streams =
      for command <- ["yields", "yields_async", "awaits", "naps"] do
        {:ok, %{ref: ref} = stream} = Snakepit.start_stream(command, args, pool: pool)
        assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
        stream
      end

    callers =
      for shape <- shapes() do
        Task.async(fn -> collect(shape, "yields", args, pool: pool, window: 1) |> elem(1) end)
      end

    eventually(fn -> Snakepit.get_stats(pool).busy_slots == 7 end)
    :ok = stop_supervised({Snakepit.Pool, pool})

    for %{ref: ref} <- streams,
        do: assert_receive({:snakepit, ^ref, {:error, :worker_exited}}, 5_000)

    for ending <- Task.await_many(callers) do
      assert match?({:error, :worker_exited}, ending) or
               match?({:error, %Snakepit.Error{kind: :worker_exited}}, ending)
    end

    for %{ref: ref} <- streams, do: flush(ref)
    assert_no_stray_messages()
  end
end
