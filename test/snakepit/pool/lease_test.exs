defmodule Snakepit.Pool.LeaseTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [eventually: 1]
  import Snakepit.Test.PoolHelper

  alias Snakepit.Pool.{Lease, Server, Slots, Stats}
  alias Snakepit.Request

  defp checkout(pool, opts \\ []) do
    {target, opts} = Keyword.pop(opts, :target, :any)
    {:ok, request} = Request.new("test", %{}, opts)
    Lease.checkout(pool, target, %{request | timeout: request.timeout || 5_000})
  end

  defp ready_pool(options) do
    pool = start_server(options)
    for index <- 0..(pool.config.pool_size - 1), do: worker_ready(pool, index)
    pool
  end

  defp await_queued(pool, count), do: eventually(fn -> Stats.pool(pool).queued == count end)

  describe "with a free slot" do
    test "a lease has the channel of a worker" do
      pool = ready_pool(pool_size: 2, max_concurrent_streams: 1)
      {:ok, one} = checkout(pool)
      {:ok, other} = checkout(pool)
      assert Enum.sort([one.channel, other.channel]) == [{:channel, 0}, {:channel, 1}]
      Lease.release(one)
      assert {:ok, _lease} = checkout(pool)
    end

    test "the next generation of a pool gets a token of its own" do
      pool = ready_pool(pool_size: 1)
      {:ok, lease} = checkout(pool)
      {:ok, again} = checkout(%{pool | generation: System.unique_integer()})
      assert lease.token != again.token
    end

    test "a process that has had one gets the connection that its worker has now" do
      pool = ready_pool(pool_size: 1)

      for connection <- [{:channel, 0}, :second, :third] do
        ready = {:ready, connection, %{started_at: DateTime.utc_now()}}
        send(pool.server, {:worker, 0, self(), ready})
        settle(pool)
        assert {:ok, %{channel: ^connection} = lease} = checkout(pool)
        Lease.release(lease)
        worker_down(pool, 0)
        assert checkout(pool, timeout: 20) == {:error, :worker_timeout}
      end
    end

    test "costs no message" do
      pool = ready_pool(pool_size: 1)
      {:ok, lease} = checkout(pool)
      Lease.release(lease)
      settle(pool)
      :erlang.trace(pool.server, true, [:receive])
      {:ok, lease} = checkout(pool)
      Lease.release(lease)
      :erlang.trace(pool.server, false, [:receive])
      refute_received {:trace, _server, :receive, _message}
    end
  end

  describe "without a free slot" do
    setup do
      pool = ready_pool(pool_size: 1, max_concurrent_streams: 1, queue_limit: 3)
      {:ok, lease} = checkout(pool)
      %{pool: pool, lease: lease}
    end

    test "callers get it in the order of their coming", %{pool: pool, lease: lease} do
      waiting =
        for count <- 1..3 do
          pid = in_process(fn -> checkout(pool) end)
          await_queued(pool, count)
          pid
        end

      Lease.release(lease)

      for pid <- waiting do
        assert_receive {^pid, {:ok, lease}}
        refute_received {_other, {:ok, _lease}}
        Lease.release(lease)
        send(pid, :end)
      end

      settle(pool)
      refute Slots.waiting?(pool.slots)
    end

    test "a full queue answers at once", %{pool: pool} do
      for count <- 1..3 do
        in_process(fn -> checkout(pool) end)
        await_queued(pool, count)
      end

      assert checkout(pool) == {:error, :pool_saturated}
      assert Stats.pool(pool).rejected == 1
    end

    test "waiting ends after :queue_timeout", %{pool: pool} do
      assert checkout(pool, queue_timeout: 1) == {:error, :queue_timeout}
      assert %{queued: 0, queue_timeouts: 1} = Stats.pool(pool)
      refute Slots.waiting?(pool.slots)
    end

    test "waiting ends with the deadline of the call", %{pool: pool} do
      assert checkout(pool, timeout: 1) == {:error, :worker_timeout}
      assert %{queued: 0, timeouts: 1} = Stats.pool(pool)
    end

    test "a caller that dies while it waits is skipped", %{pool: pool, lease: lease} do
      dead = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      alive = in_process(fn -> checkout(pool) end)
      await_queued(pool, 2)
      kill(dead)
      await_queued(pool, 1)
      Lease.release(lease)
      assert_receive {^alive, {:ok, _lease}}
    end

    test "a caller that dies with a slot leaves it to the next", %{pool: pool, lease: lease} do
      holder = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      Lease.release(lease)
      assert_receive {^holder, {:ok, _lease}}

      next = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      kill(holder)
      assert_receive {^next, {:ok, _lease}}
    end

    test "who waits for one worker does not block who waits for another" do
      pool = ready_pool(pool_size: 2, max_concurrent_streams: 1)
      {:ok, zero} = checkout(pool, target: 0)
      {:ok, one} = checkout(pool, target: 1)

      first = in_process(fn -> checkout(pool, target: 0) end)
      await_queued(pool, 1)
      second = in_process(fn -> checkout(pool, target: 1) end)
      await_queued(pool, 2)

      Lease.release(one)
      assert_receive {^second, {:ok, %{channel: {:channel, 1}}}}
      refute_received {^first, _lease}
      Lease.release(zero)
      assert_receive {^first, {:ok, %{channel: {:channel, 0}}}}
    end

    test "a slot that somebody waits for by name is not taken by others" do
      pool = ready_pool(pool_size: 2, max_concurrent_streams: 1)
      {:ok, _zero} = checkout(pool, target: 0)
      waiting = in_process(fn -> checkout(pool, target: 0) end)
      await_queued(pool, 1)
      assert {:ok, %{channel: {:channel, 1}}} = checkout(pool)
      assert checkout(pool, queue_timeout: 1) == {:error, :queue_timeout}
      refute_received {^waiting, _lease}
    end

    test "a release in the name of the caller frees the slot", %{pool: pool, lease: lease} do
      {server, message} = Lease.release_message(lease)
      next = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      send(server, message)
      assert_receive {^next, {:ok, _lease}}
      # The second time the slot belongs to somebody else.
      send(server, message)
      settle(pool)
      assert Stats.pool(pool).busy_slots == 1
    end
  end

  describe "without a ready worker" do
    test "a caller waits for one that starts" do
      pool = start_server(pool_size: 2)
      waiting = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      worker_ready(pool, 1)
      assert_receive {^waiting, {:ok, %{channel: {:channel, 1}}}}
    end

    test "a caller does not wait when every start has failed" do
      pool = start_server(pool_size: 2)
      worker_failing(pool, 0)
      waiting = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      worker_failing(pool, 1)
      assert_receive {^waiting, {:error, :grpc_unavailable}}
      assert checkout(pool) == {:error, :grpc_unavailable}
      worker_ready(pool, 0)
      assert {:ok, _lease} = checkout(pool)
    end

    test "a worker that goes down gets no calls until it is back" do
      pool = ready_pool(pool_size: 2)
      worker_down(pool, 0)
      assert {:ok, %{channel: {:channel, 1}}} = checkout(pool)
      assert checkout(pool, target: 0, queue_timeout: 1) == {:error, :queue_timeout}
      worker_ready(pool, 0)
      assert {:ok, %{channel: {:channel, 0}}} = checkout(pool, target: 0)
    end

    test "the process of a worker that dies takes its worker down" do
      pool = start_server(pool_size: 1)

      worker =
        in_process(fn ->
          send(
            pool.server,
            {:worker, 0, self(), {:ready, :channel, %{started_at: DateTime.from_unix!(0)}}}
          )
        end)

      assert_receive {^worker, _sent}
      :ok = Server.await_ready(pool.server, 5_000)
      kill(worker)
      settle(pool)
      assert %{ready: 0} = Stats.pool(pool)
    end
  end

  describe "a worker that a caller suspects" do
    setup do
      %{pool: start_server(pool_size: 2)}
    end

    test "gets no calls until it is ready again", %{pool: pool} do
      for index <- 0..1, do: worker_ready(pool, index)
      {:ok, lease} = checkout(pool, target: 0)
      assert Lease.note({:error, :worker_exited}, lease) == {:error, :worker_exited}
      assert_received {:suspect, {:channel, 0}}
      assert {:ok, %{channel: {:channel, 1}}} = checkout(pool)
      assert checkout(pool, target: 0, queue_timeout: 1) == {:error, :queue_timeout}

      worker_ready(pool, 0)
      assert {:ok, _lease} = checkout(pool, target: 0)
      assert %{errors: 1, restarts: 0} = Stats.pool(pool)
    end

    test "is left alone when it has a new process already", %{pool: pool} do
      worker_ready(pool, 0)
      {:ok, lease} = checkout(pool, target: 0)
      old = %{lease | channel: {:channel, :old}}
      Lease.note({:error, :worker_exited}, old)
      refute_received {:suspect, _channel}
      assert {:ok, _lease} = checkout(pool, target: 0)
    end

    test "other errors are no suspicion", %{pool: pool} do
      worker_ready(pool, 0)
      {:ok, lease} = checkout(pool, target: 0)
      Lease.note({:error, :worker_timeout}, lease)
      refute_received {:suspect, _channel}
      assert %{timeouts: 1, errors: 0} = Stats.pool(pool)
    end
  end

  describe "readiness" do
    test "is there when every worker is ready" do
      pool = start_server(pool_size: 2)
      awaiting = in_process(fn -> Server.await_ready(pool.server, 5_000) end)
      worker_ready(pool, 0)
      refute_received {^awaiting, _answer}
      worker_ready(pool, 1)
      assert_receive {^awaiting, :ok}
      assert Server.await_ready(pool.server, 5_000) == :ok
    end

    test "fails with the first worker that cannot start" do
      pool = start_server(pool_size: 2)
      awaiting = in_process(fn -> Server.await_ready(pool.server, 5_000) end)
      # The call above is on its way before the news is sent only if the server has seen it.
      await_awaiting(pool)
      worker_failing(pool, 1, "because")
      assert_receive {^awaiting, {:error, %Snakepit.Error{message: "because"}}}
    end

    test "is waited for no longer than asked" do
      pool = start_server(pool_size: 1)
      assert Server.await_ready(pool.server, 1) == {:error, :worker_timeout}
    end

    defp await_awaiting(pool),
      do: eventually(fn -> :sys.get_state(pool.server).awaiting != [] end)
  end

  describe "draining" do
    test "refuses new callers and those that wait, and ends with the last call" do
      pool = ready_pool(pool_size: 1, max_concurrent_streams: 1)
      {:ok, lease} = checkout(pool)
      waiting = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)

      drainer = in_process(fn -> Server.drain(pool.server, 5_000) end)
      assert_receive {^waiting, {:error, :draining}}
      assert checkout(pool) == {:error, :draining}

      refute_received {^drainer, _answer}
      Lease.release(lease)
      assert_receive {^drainer, :ok}
    end

    test "gives up after its time, and the pool can be opened again" do
      pool = ready_pool(pool_size: 1, max_concurrent_streams: 2)
      {:ok, _lease} = checkout(pool)
      assert Server.drain(pool.server, 1) == :timeout
      assert checkout(pool) == {:error, :draining}
      :ok = Server.open(pool.server)
      assert {:ok, _lease} = checkout(pool)
    end

    test "of an idle pool ends at once" do
      assert Server.drain(ready_pool(pool_size: 2).server, 5_000) == :ok
    end
  end

  describe "the pool is gone" do
    test "callers that wait are told" do
      pool = ready_pool(pool_size: 1, max_concurrent_streams: 1)
      {:ok, _lease} = checkout(pool)
      waiting = in_process(fn -> checkout(pool) end)
      await_queued(pool, 1)
      stop_supervised!(pool.config.name)
      assert_receive {^waiting, {:error, :grpc_unavailable}}
      assert {:error, :pool_not_found} = Snakepit.execute("ping", %{}, pool: pool.config.name)
    end

    test "callers that still know it are told" do
      pool = ready_pool(pool_size: 1)
      stop_supervised!(pool.config.name)
      assert checkout(pool) == {:error, :grpc_unavailable}
    end
  end
end
