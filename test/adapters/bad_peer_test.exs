defmodule Snakepit.Adapters.BadPeerTest do
  # Whatever is at the other end of a gRPC connection: a typed error within the deadline.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPC}
  alias Snakepit.Test.{BadAdapter, BadPeer, HTTP1Adapter}

  @moduletag :capture_log

  @deadline 1_000

  setup_all do
    name = unique_name()
    options = [name: name, adapter: BadAdapter, pool_size: 1, server_startup_timeout: 30_000]
    start_supervised!({Snakepit.Pool, options})
    %{pool: name}
  end

  defp typed?(%Error{kind: kind, message: text}), do: kind == :protocol and text != ""
  defp typed?(reason), do: reason in Error.conditions()

  defp within(milliseconds, fun) do
    {microseconds, result} = :timer.tc(fun)
    assert microseconds < milliseconds * 1_000
    result
  end

  for manner <- [:close, :silent, :http1, :garbage, :goaway, :goaway_later] do
    describe "a peer that does #{manner}" do
      @manner manner

      test "is not taken for a worker" do
        port = BadPeer.start(@manner)
        {:ok, channel} = GRPC.Channel.open("http://127.0.0.1:#{port}", [])
        result = within(2_000, fn -> GRPC.Channel.health(channel, 1_000) end)
        assert {:error, reason} = result
        assert typed?(reason), inspect(reason)
      end

      test "gives no answer to calls and streams" do
        port = BadPeer.start(@manner)
        {:ok, channel} = GRPC.Channel.open("http://127.0.0.1:#{port}", worker_id: "bad")
        opts = [timeout: @deadline]

        for run <- [
              fn -> GRPC.Client.execute(channel, "ping", %{}, opts) end,
              fn -> GRPC.Client.execute_stream(channel, "ping_stream", %{}, & &1, opts) end
            ] do
          assert {:error, reason} = within(@deadline + 1_000, run)
          assert typed?(reason), inspect(reason)
        end
      end
    end
  end

  test "a program that speaks something else is no worker, and the error says why" do
    options = [adapter: HTTP1Adapter, server_startup_timeout: 2_000]
    assert {:error, {{:shutdown, {_, _, %Error{} = error}}, _child}} = try_pool(options)
    assert error.kind == :worker_crashed
    assert error.message =~ "was not ready within 2000 ms (asked for its health: :worker_exited)"
  end

  describe "a peer that breaks off in the middle" do
    test "a stream without a final chunk is an error of the protocol", %{pool: pool} do
      test = self()

      assert {:error, %Error{kind: :protocol, message: message}} =
               Snakepit.execute_stream("no_final", %{}, &send(test, &1), pool: pool)

      assert message =~ "final"
      assert_received %{"n" => 1, "is_final" => false}

      assert_raise Error, ~r/final/, fn ->
        "no_final" |> Snakepit.stream!(%{}, pool: pool) |> Enum.to_list()
      end
    end

    test "a status is an error of the protocol with its text", %{pool: pool} do
      assert {:error, %Error{kind: :protocol, message: message}} =
               Snakepit.execute("abort", %{}, pool: pool)

      assert message =~ "something broke"

      assert {:error, %Error{kind: :protocol, message: message}} =
               Snakepit.execute_stream("abort", %{}, & &1, pool: pool)

      assert message =~ "something broke"
    end

    test "silence ends with the deadline", %{pool: pool} do
      opts = [pool: pool, timeout: 200]
      assert Snakepit.execute("hang", %{}, opts) == {:error, :worker_timeout}
      assert Snakepit.execute_stream("hang", %{}, & &1, opts) == {:error, :worker_timeout}
      opts = [pool: pool, chunk_timeout: 200]
      assert Snakepit.execute_stream("hang", %{}, & &1, opts) == {:error, :chunk_timeout}
    end

    test "values that are none, and answers that say nothing", %{pool: pool} do
      assert {:error, %Error{kind: :encoding, message: message}} =
               Snakepit.execute("not_msgpack", %{}, pool: pool)

      assert message =~ "not MessagePack"
      assert {:error, %Error{}} = Snakepit.execute("empty", %{}, pool: pool)
      assert {:ok, %{"a" => 1}} = Snakepit.execute("twice", %{}, pool: pool)
      assert :ok = Snakepit.execute_stream("after_final", %{}, & &1, pool: pool)
      assert %{restarts: 0, busy_slots: 0} = Snakepit.get_stats(pool)
    end
  end
end
