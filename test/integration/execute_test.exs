defmodule Snakepit.ExecuteTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPCWorker}
  alias Snakepit.Test.Beacon

  setup_all do
    %{pool: start_pool(pool_size: 2)}
  end

  test "returns what the handler returned", %{pool: pool} do
    assert {:ok, %{"status" => "ok", "message" => "pong"}} =
             Snakepit.execute("ping", %{}, pool: pool)

    assert Snakepit.execute("compute", %{operation: "add", a: 5, b: 3}, pool: pool) ==
             {:ok, %{"result" => 8}}
  end

  test "a result that is no dict is put into one", %{pool: pool} do
    assert Snakepit.execute("give_scalar", %{}, pool: pool) == {:ok, %{"result" => 5}}
    assert Snakepit.execute("give_nothing", %{}, pool: pool) == {:ok, %{"result" => nil}}
  end

  test "a result of any size is whole", %{pool: pool} do
    for n <- [0, 10, 200_000] do
      assert {:ok, %{"rows" => rows}} = Snakepit.execute("give_rows", %{n: n}, pool: pool)
      assert rows == Enum.to_list(0..(n - 1)//1)
    end
  end

  test "a result that Elixir has no form for is an error that says where", %{pool: pool} do
    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute("give_clash", %{}, pool: pool)

    assert message =~ "result.value"
    refute_received _anything
  end

  test "arguments have atoms or strings as keys", %{pool: pool} do
    assert Snakepit.execute("typed", %{n: 1}, pool: pool) ==
             Snakepit.execute("typed", %{"n" => 1}, pool: pool)
  end

  test "metadata, request id and deadline reach the handler", %{pool: pool} do
    assert {:ok, context} =
             Snakepit.execute("context", %{},
               pool: pool,
               metadata: %{user: "u1"},
               request_id: "r1",
               timeout: 10_000
             )

    assert %{"metadata" => %{"user" => "u1"}, "request_id" => "r1", "session_id" => ""} = context
    assert context["time_remaining"] > 0 and context["time_remaining"] <= 10
    assert context["worker_id"] in Enum.map(Snakepit.list_workers(pool), & &1.id)
  end

  test "without a request id there is one all the same", %{pool: pool} do
    {:ok, %{"request_id" => one}} = Snakepit.execute("context", %{}, pool: pool)
    {:ok, %{"request_id" => other}} = Snakepit.execute("context", %{}, pool: pool)
    assert one != "" and one != other
  end

  test "without a deadline the handler sees none", %{pool: pool} do
    assert {:ok, %{"time_remaining" => nil}} =
             Snakepit.execute("context", %{}, pool: pool, timeout: :infinity)
  end

  test "calls of a session share its state, and another session has its own", %{pool: pool} do
    results =
      for session <- ["a", "b", "a", "a", "b"] do
        {:ok, %{"n" => n}} =
          Snakepit.execute_in_session(session, "count_session", %{}, pool: pool)

        {session, n}
      end

    assert results == [{"a", 1}, {"b", 1}, {"a", 2}, {"a", 3}, {"b", 2}]
  end

  test "a session is an option too", %{pool: pool} do
    opts = [pool: pool, session_id: "as-option"]
    assert {:ok, %{"n" => 1}} = Snakepit.execute("count_session", %{}, opts)

    assert {:ok, %{"n" => 2}} =
             Snakepit.execute_in_session("as-option", "count_session", %{}, pool: pool)
  end

  describe "a timeout" do
    test "of zero reaches no worker", %{pool: pool} do
      before = Snakepit.get_stats(pool).requests
      assert Snakepit.execute("ping", %{}, pool: pool, timeout: 0) == {:error, :worker_timeout}

      assert Snakepit.execute_stream("count", %{n: 1}, & &1, pool: pool, timeout: 0) ==
               {:error, :worker_timeout}

      assert Snakepit.get_stats(pool).requests == before
    end

    test "is a result, cancels the handler and leaves nothing behind", %{pool: pool} do
      beacon = Beacon.open()

      assert Snakepit.execute("hold_async", %{beacon: beacon.port}, pool: pool, timeout: 100) ==
               {:error, :worker_timeout}

      Beacon.await(beacon, "closed")
      refute_received {_ref, _late_answer}
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    end
  end

  describe "on one worker" do
    test "every call goes to it", %{pool: pool} do
      for %{pid: worker, os_pid: os_pid} <- Snakepit.list_workers(pool), _turn <- 1..3 do
        assert {:ok, %{"os_pid" => ^os_pid}} = GRPCWorker.execute(worker, "os_pid", %{})
      end
    end

    test "streams, sessions and options work", %{pool: pool} do
      [%{pid: worker} | _] = Snakepit.list_workers(pool)
      test = self()
      assert :ok = GRPCWorker.execute_stream(worker, "count", %{n: 2}, &send(test, &1))
      assert_received %{"n" => 0}
      assert {:ok, %{"n" => 1}} = GRPCWorker.execute_in_session(worker, "w", "count_session", %{})

      assert {:ok, %{"n" => 2}} =
               GRPCWorker.execute_in_session(worker, "w", "count_session", %{}, 5_000)

      assert GRPCWorker.execute(worker, "ping", %{}, 0) == {:error, :worker_timeout}
    end

    test "health and info are known", %{pool: pool} do
      [%{pid: worker, id: id, os_pid: os_pid} | _] = Snakepit.list_workers(pool)

      assert {:ok, %{"healthy" => true, "worker_id" => ^id} = health} =
               GRPCWorker.get_health(worker)

      assert "ping" in health["commands"]
      assert {:ok, %{id: ^id, os_pid: ^os_pid, state: :ready}} = GRPCWorker.get_info(worker)
    end

    test "its channel serves the client", %{pool: pool} do
      [%{pid: worker} | _] = Snakepit.list_workers(pool)
      {:ok, channel} = GRPCWorker.get_channel(worker)
      assert {:ok, %{"a" => 1}} = Snakepit.GRPC.Client.execute(channel, "echo", %{a: 1})
    end

    test "that is gone there is an error" do
      gone = spawn(fn -> :ok end)
      assert GRPCWorker.execute(gone, "ping", %{}) == {:error, :grpc_unavailable}
      assert GRPCWorker.get_health(gone) == {:error, :grpc_unavailable}
    end
  end

  test "workers and numbers are listed", %{pool: pool} do
    {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    workers = Snakepit.list_workers(pool)
    assert length(workers) == 2

    for worker <- workers do
      assert %{state: :ready, capacity: 10, transport: "native"} = worker
      assert is_integer(worker.os_pid) and is_integer(worker.requests)
      assert %DateTime{} = worker.started_at
      assert "unix:" <> _path = worker.address
    end

    assert %{workers: 2, ready: 2, queued: 0, rejected: 0} = Snakepit.get_stats(pool)
    assert Snakepit.await_ready(pool, 1_000) == :ok
  end

  test "many callers at once all get their own answers", %{pool: pool} do
    answers =
      1..500
      |> Task.async_stream(
        fn n ->
          {:ok, %{"n" => answer}} = Snakepit.execute("typed", %{n: n}, pool: pool)
          {n, answer}
        end,
        max_concurrency: 100
      )
      |> Enum.map(fn {:ok, pair} -> pair end)

    assert Enum.all?(answers, fn {asked, answered} -> asked == answered end)
    assert Snakepit.get_stats(pool).busy_slots == 0
  end

  test "the seeds' pool functions do the same", %{pool: pool} do
    assert {:ok, %{"message" => "pong"}} = Snakepit.Pool.execute("ping", %{}, pool: pool)
    assert :ok = Snakepit.Pool.execute_stream("count", %{n: 1}, fn _ -> :ok end, pool: pool)
  end

  test "arguments that are no map are a typed error", %{pool: pool} do
    assert {:error, %Error{kind: :invalid_arguments}} = Snakepit.execute("ping", [1], pool: pool)
  end

  test "an option that does not exist raises", %{pool: pool} do
    assert_raise ArgumentError, ~r/did you mean :timeout/, fn ->
      Snakepit.execute("ping", %{}, pool: pool, timout: 1)
    end
  end
end
