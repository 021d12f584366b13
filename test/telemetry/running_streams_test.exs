defmodule Snakepit.Telemetry.RunningStreamsTest do
  # Who looks at the streams of a pool, and ends one from outside.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper, only: [kill: 1]
  import Snakepit.Test.StreamHelper

  alias Snakepit.Pool.{Shared, Streams}
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  defp shared(pool) do
    {:ok, shared} = Shared.fetch(pool)
    shared
  end

  defp only(pool) do
    assert [stream] = Streams.running(shared(pool))
    stream
  end

  # One that never ends by itself, consumed in a task; returns when its first chunk is here.
  defp endless(pool, run) do
    test = self()

    task =
      Task.async(fn ->
        run.(fn _chunk -> send(test, {:seen, self()}) end, pool: pool, window: 4)
      end)

    assert_receive {:seen, _consumer}, 10_000
    task
  end

  # Whatever the handlers tell, nobody has to hear.
  defp args, do: %{beacon: Beacon.open().port}

  defp forever(callback, opts), do: Snakepit.execute_stream("yields", args(), callback, opts)

  test "a stream is seen while it runs, with its names and what has passed" do
    pool = start_pool()
    assert Streams.running(shared(pool)) == []
    opts = [pool: pool, window: 2, request_id: "look", session_id: "s"]
    {:ok, stream} = Snakepit.start_stream("numbers", %{n: 1_000_000}, opts)
    ref = stream.ref
    for _ <- 1..2, do: assert_receive({:snakepit, ^ref, {:chunk, _}}, 5_000)

    # Both chunks are with the consumer, and no third may come.
    seen = only(pool)
    me = self()
    assert %{command: "numbers", request_id: "look", session_id: "s", pool: ^pool} = seen
    assert %{shape: :server, pid: ^me, chunks: 2, sent: 0, stalled?: true} = seen
    assert seen.worker_id == stream.worker_id
    assert seen.age_ms >= seen.stalled_ms

    :ok = Snakepit.ack(stream, 2)
    for _ <- 1..2, do: assert_receive({:snakepit, ^ref, {:chunk, _}}, 5_000)
    assert %{chunks: 4, stalls: 1} = only(pool)

    :ok = Snakepit.cancel(stream)
    eventually(fn -> Streams.running(shared(pool)) == [] end)
  end

  test "a stream that is ended from outside gives its consumer a reason, and Python an end" do
    pool = start_pool()
    task = endless(pool, &forever/2)
    assert Streams.cancel(shared(pool), only(pool).id) == :ok
    assert Task.await(task) == {:error, :cancelled}
    await_free(pool)
    eventually(fn -> match?(%{begun: n, ended: n}, counts(pool)) end)
    assert %{restarts: 0} = Snakepit.get_stats(pool)
  end

  defp counts(pool) do
    %{"begun" => begun, "ended" => ended} = process(pool)
    %{begun: begun, ended: ended}
  end

  test "one that is consumed as messages or as an enumerable ends the same way" do
    pool = start_pool()
    {:ok, stream} = Snakepit.start_stream("yields", args(), pool: pool, window: 2)
    ref = stream.ref
    assert_receive {:snakepit, ^ref, {:chunk, _}}, 5_000
    assert Streams.cancel(shared(pool), only(pool).id) == :ok
    assert_receive {:snakepit, ^ref, {:error, :cancelled}}, 5_000
    # Kept until here: a stream that is collected ends without a word.
    :ok = Snakepit.cancel(stream)
    await_free(pool)

    test = self()

    task =
      Task.async(fn ->
        try do
          "yields"
          |> Snakepit.stream!(args(), pool: pool)
          |> Enum.each(fn _ -> send(test, :going) end)
        rescue
          error in Snakepit.Error -> error.kind
        end
      end)

    assert_receive :going, 5_000
    assert Streams.cancel(shared(pool), only(pool).id) == :ok
    assert Task.await(task) == :cancelled
  end

  test "so does one whose caller is feeding it" do
    pool = start_pool()
    test = self()
    input = Stream.repeatedly(fn -> send(test, :fed) && %{n: 1} end)
    calls = [&Snakepit.execute_client_stream("total", %{}, input, pool: &1)]
    bidi = &Snakepit.execute_bidi_stream("doubled", %{}, input, fn _ -> :ok end, pool: &1)

    for call <- [bidi | calls] do
      task = Task.async(fn -> call.(pool) end)
      assert_receive :fed, 5_000
      eventually(fn -> match?([%{sent: sent}] when sent > 0, Streams.running(shared(pool))) end)
      assert Streams.cancel(shared(pool), only(pool).id) == :ok
      assert Task.await(task) == {:error, :cancelled}
      await_free(pool)
    end
  end

  test "what has ended cannot be ended again" do
    pool = start_pool()
    task = endless(pool, &forever/2)
    id = only(pool).id
    assert Streams.cancel(shared(pool), id) == :ok
    {:error, :cancelled} = Task.await(task)
    assert Streams.cancel(shared(pool), id) == {:error, :not_found}
    assert Streams.cancel(shared(pool), 0) == {:error, :not_found}
  end

  test "a stream whose consumer was killed is seen no longer" do
    pool = start_pool()
    test = self()
    caller = spawn(fn -> forever(fn _ -> send(test, :going) end, pool: pool) end)
    assert_receive :going, 5_000
    kill(caller)
    eventually(fn -> Streams.running(shared(pool)) == [] end)
    eventually(fn -> :ets.tab2list(shared(pool).streams) == [] end)
  end

  test "many streams at once are all seen, and none stays behind" do
    pool = start_pool(max_concurrent_streams: 32)
    streams = for _ <- 1..32, do: start!(pool)
    assert pool |> shared() |> Streams.running() |> Enum.uniq_by(& &1.id) |> length() == 32
    Enum.each(streams, &Snakepit.cancel/1)
    await_free(pool)
    assert :ets.tab2list(shared(pool).streams) == []
  end

  defp start!(pool) do
    {:ok, stream} = Snakepit.start_stream("yields", args(), pool: pool)
    stream
  end
end
