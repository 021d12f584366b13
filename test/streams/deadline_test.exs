defmodule Snakepit.Streams.DeadlineTest do
  use ExUnit.Case, async: false

  import Snakepit.Test.StreamHelper

  alias Snakepit.Test.StreamBeacon, as: Beacon

  setup_all do
    %{pool: start_pool()}
  end

  setup %{pool: pool} do
    on_exit(fn -> await_free(pool) end)
    %{beacon: Beacon.open()}
  end

  defp timed(fun) do
    {micros, result} = :timer.tc(fun)
    {div(micros, 1_000), result}
  end

  defp spend(ms) do
    receive do
    after
      ms -> :ok
    end
  end

  describe "the deadline" do
    for shape <- shapes() do
      @shape shape

      test "ends an endless stream of any speed (#{shape})", %{pool: pool, beacon: beacon} do
        for command <- ~w(yields yields_async naps awaits busy) do
          opts = [pool: pool, timeout: 200]
          run = fn -> collect(@shape, command, %{beacon: beacon.port}, opts) end
          assert {elapsed, {chunks, ending}} = timed(run)
          assert reason(ending) == :worker_timeout
          assert elapsed in 195..2_000
          # On a busy machine not even the first may be there by then.
          if chunks != [], do: Beacon.await(beacon, "ended")
          assert_no_stray_messages()
        end
      end

      test "counts while the consumer is slow (#{shape})", %{pool: pool, beacon: beacon} do
        opts = [pool: pool, timeout: 150, window: 2]

        slow = fn _chunk ->
          spend(60)
          :cont
        end

        assert {chunks, ending} =
                 consume(@shape, "yields", %{beacon: beacon.port}, opts, slow)

        assert reason(ending) == :worker_timeout
        assert length(chunks) <= 5
        if chunks != [], do: Beacon.await(beacon, "ended")
      end
    end

    test "counts the time in the queue", %{beacon: beacon} do
      pool = start_pool(max_concurrent_streams: 1)
      {:ok, stream} = Snakepit.start_stream("holds", %{beacon: beacon.port}, pool: pool)
      Beacon.await(beacon, "holds")
      run = fn -> collect(:callback, "numbers", %{n: 1}, pool: pool, timeout: 100) end
      assert {elapsed, {[], {:error, :worker_timeout}}} = timed(run)
      assert elapsed in 95..2_000
      Snakepit.cancel(stream)
      # Its handler waits in C, which nothing but the test ends.
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    end

    test "is known to the handler", %{pool: pool} do
      opts = [pool: pool, timeout: 5_000, window: 1]

      slow = fn _chunk ->
        spend(20)
        :cont
      end

      assert {chunks, :ok} = consume(:callback, "remaining", %{n: 5}, opts, slow)
      left = for %{"remaining" => left} <- chunks, do: left
      assert length(left) == 5
      assert left == Enum.sort(left, :desc)
      assert hd(left) > 4.0 and hd(left) <= 5.0
      assert List.last(left) < hd(left) - 0.05

      opts = [pool: pool, timeout: :infinity]
      assert {[%{"remaining" => nil} | _], :ok} = collect(:callback, "remaining", %{n: 1}, opts)
    end

    test "of a stream is not that of the next", %{pool: pool} do
      stream = Snakepit.stream!("numbers", %{n: 3}, pool: pool, timeout: 300)
      assert Enum.count(stream) == 4
      spend(400)
      assert Enum.count(stream) == 4
    end

    test "of nothing left does not begin", %{pool: pool} do
      for shape <- shapes() do
        {[], ending} = collect(shape, "numbers", %{n: 1}, pool: pool, timeout: 0)
        assert reason(ending) == :worker_timeout
      end
    end
  end

  describe "the chunk timeout" do
    for shape <- shapes() do
      @shape shape

      test "ends a stream that falls silent (#{shape})", %{pool: pool, beacon: beacon} do
        for command <- ~w(naps awaits busy) do
          opts = [pool: pool, chunk_timeout: 150]
          run = fn -> collect(@shape, command, %{beacon: beacon.port}, opts) end
          assert {elapsed, {[%{"n" => 0}], ending}} = timed(run)
          assert reason(ending) == :chunk_timeout
          assert elapsed in 145..2_000
          Beacon.await(beacon, "ended")
          assert_no_stray_messages()
        end
      end

      test "is not that of the whole stream (#{shape})", %{pool: pool} do
        opts = [pool: pool, chunk_timeout: 1_000]
        args = %{n: 8, interval: 200}
        assert {chunks, :ok} = collect(@shape, "paced", args, opts)
        assert length(chunks) == 9
      end

      test "does not count the time of the consumer (#{shape})", %{pool: pool} do
        slow = fn _chunk ->
          spend(600)
          :cont
        end

        # With a window of one, or a buffer of less than a chunk, Python may not speak meanwhile.
        cases =
          for limit <- [[window: 1], [max_buffer: 1]], command <- ["numbers", "numbers_async"] do
            Task.async(fn ->
              opts = [pool: pool, chunk_timeout: 400] ++ limit
              assert {chunks, :ok} = consume(@shape, command, %{n: 2}, opts, slow)
              assert length(chunks) == 3
            end)
          end

        Task.await_many(cases, 20_000)
      end
    end
  end

  # An enumerable raises what the others return.
  defp reason({:error, %Snakepit.Error{kind: kind}}), do: kind
  defp reason({:error, condition}), do: condition
end
