defmodule Snakepit.Streams.CancellationTest do
  # Every way in which a caller can leave a stream, for every place where its handler can be: Python
  # hears of it at once, the slot is free, nothing is left in the mailbox, the worker goes on.
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]

  alias Snakepit.Test.StreamBeacon, as: Beacon

  @timeout 120
  # Fifty milliseconds are for what Snakepit itself does. What the machine is busy with besides
  # comes on top: there is as much again for that, and of so many runs the quickest counts.
  @runs 4
  @within_ms 50 + 50
  @at_worst_ms 5_000

  setup_all do
    %{pool: start_pool()}
  end

  setup do
    %{beacon: Beacon.open()}
  end

  # Where the handler is, the command, and how Python may hear that it is over. Before it has
  # come back from its first yield, every generator is ended there.
  @handlers [
    {"a generator that yields", "yields", ["GeneratorExit"]},
    {"an async generator that yields", "yields_async", ["GeneratorExit", "CancelledError"]},
    {"a generator that waits for room", "yields", ["GeneratorExit"]},
    {"an async generator that waits for room", "yields_async",
     ["GeneratorExit", "CancelledError"]},
    {"a handler busy in Python code", "busy", ["Cancelled", "GeneratorExit"]},
    {"a handler that naps", "naps", ["Cancelled", "GeneratorExit"]},
    {"an async handler that awaits", "awaits", ["CancelledError", "GeneratorExit"]},
    {"a handler that waits for input", "swallows", ["Cancelled", "GeneratorExit"]},
    {"an async handler that waits for input", "swallows_async",
     ["Cancelled", "CancelledError", "GeneratorExit"]}
  ]

  @ways [:halt, :raise, :throw, :exit, :killed, :timeout, :chunk_timeout, :take, :cancel]

  for {where, command, endings} <- @handlers, way <- @ways do
    waits_for_room = where =~ "room"
    bidi = command =~ "swallows"
    silent = command in ~w(busy naps awaits swallows swallows_async)

    # A stream with input has one shape, and a handler that yields is never silent.
    unless (bidi and way in [:take, :cancel]) or (way == :chunk_timeout and not silent) do
      @handler %{
        command: command,
        endings: endings,
        waits_for_room: waits_for_room,
        bidi: bidi,
        way: way
      }

      test "#{where}, left by #{way}", %{pool: pool, beacon: beacon} do
        os_pid = os_pid(pool)

        figures =
          for run <- 1..@runs do
            key = "#{@handler.way} #{@handler.command} #{run}"
            since = leave(@handler, key, pool, beacon)
            assert %{"by" => by} = ended = Beacon.await(beacon, "ended")
            assert by in @handler.endings
            assert_no_stray_messages()
            await_free(pool)
            Beacon.elapsed(ended, since)
          end

        assert Enum.min(figures) <= @within_ms
        assert Enum.max(figures) <= @at_worst_ms
        assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
        assert os_pid(pool) == os_pid
      end
    end
  end

  # Each returns the moment from which on the caller wanted no more.

  defp leave(%{way: :take} = handler, key, pool, beacon) do
    {args, opts, ready} = call(handler, key, pool, beacon)
    stream = Snakepit.stream!(handler.command, args, opts)
    assert [since] = stream |> Stream.map(fn _chunk -> ready.() end) |> Enum.take(1)
    since
  end

  defp leave(%{way: :cancel} = handler, key, pool, beacon) do
    {args, opts, ready} = call(handler, key, pool, beacon)
    {:ok, %{ref: ref} = stream} = Snakepit.start_stream(handler.command, args, opts)
    assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
    since = ready.()
    assert Snakepit.cancel(stream) == :ok
    since
  end

  defp leave(%{way: :killed} = handler, key, pool, beacon) do
    {args, opts, ready} = call(handler, key, pool, beacon)
    test = self()

    caller =
      spawn(fn ->
        run(handler, args, opts, fn _chunk ->
          send(test, {:ready, ready.()})
          if handler.waits_for_room, do: Process.sleep(:infinity)
        end)
      end)

    assert_receive {:ready, _at}, 5_000
    since = Beacon.now()
    kill(caller)
    # The callback may have been called more than once.
    drop(:ready)
    since
  end

  defp leave(%{way: :timeout} = handler, key, pool, beacon) do
    {args, opts, _ready} = call(handler, key, pool, beacon)
    since = Beacon.now() + @timeout * 1_000_000
    opts = [timeout: @timeout] ++ opts
    # Held in the callback until Python has ended: the deadline does not wait for the consumer.
    hold = fn _chunk -> if handler.waits_for_room, do: peek() end
    assert run(handler, args, opts, hold) == {:error, :worker_timeout}
    since
  end

  defp leave(%{way: :chunk_timeout} = handler, key, pool, beacon) do
    {args, opts, _ready} = call(handler, key, pool, beacon)
    test = self()
    opts = [chunk_timeout: @timeout] ++ opts
    note = fn _chunk -> send(test, {:at, Beacon.now()}) end
    assert run(handler, args, opts, note) == {:error, :chunk_timeout}
    assert_received {:at, first}
    first + @timeout * 1_000_000
  end

  defp leave(%{way: way} = handler, key, pool, beacon) do
    {args, opts, ready} = call(handler, key, pool, beacon)
    test = self()

    callback = fn _chunk ->
      send(test, {:since, ready.()})

      case way do
        :halt -> :halt
        :raise -> raise ArgumentError, "enough"
        :throw -> throw(:enough)
        :exit -> exit(:enough)
      end
    end

    left = fn -> run(handler, args, opts, callback) end

    case way do
      :halt -> assert left.() == :ok
      :raise -> assert_raise(ArgumentError, "enough", left)
      :throw -> assert catch_throw(left.()) == :enough
      :exit -> assert catch_exit(left.()) == :enough
    end

    assert_received {:since, since}
    since
  end

  defp call(handler, key, pool, beacon) do
    opts = [pool: pool, window: 4]

    if handler.waits_for_room do
      full = fn ->
        {:ok, %{"made" => made}} = Snakepit.execute("made_by", %{key: key}, pool: pool)
        # Four wait for the consumer, and the next one at its yield.
        made == 5
      end

      ready = fn ->
        eventually(full)
        Beacon.now()
      end

      {%{beacon: beacon.port, key: key}, opts, ready}
    else
      {%{beacon: beacon.port}, opts, &Beacon.now/0}
    end
  end

  defp run(%{bidi: true, command: command}, args, opts, callback) do
    silent = Stream.repeatedly(fn -> Process.sleep(:infinity) end)
    Snakepit.execute_bidi_stream(command, args, silent, callback, opts)
  end

  defp run(%{command: command}, args, opts, callback),
    do: Snakepit.execute_stream(command, args, callback, opts)

  # Waits for an event without taking it.
  defp peek do
    receive do
      {:udp, _, _, _, _} = event -> send(self(), event)
    end
  end

  defp drop(tag) do
    receive do
      {^tag, _} -> drop(tag)
    after
      0 -> :ok
    end
  end
end
