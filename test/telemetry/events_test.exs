defmodule Snakepit.Telemetry.EventsTest do
  # There is one module of the name :telemetry for all tests.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog
  import Snakepit.Test.PoolHelper, except: [start_pool: 0, start_pool: 1]

  alias Snakepit.{Error, Jobs, Telemetry}
  alias Snakepit.Test.{Beacon, PoolHelper, StreamHelper, TelemetryStandIn}

  @moduletag :capture_log

  defmodule RaisingAdapter do
    # One that makes its calls itself, and fails.
    @behaviour Snakepit.Adapter

    alias Snakepit.Test.CallingAdapter

    @impl true
    defdelegate executable_path, to: CallingAdapter
    @impl true
    defdelegate script_path, to: CallingAdapter
    @impl true
    def uses_grpc?, do: true
    @impl true
    defdelegate get_port, to: CallingAdapter
    @impl true
    defdelegate init_grpc_connection(port), to: CallingAdapter
    @impl true
    def grpc_execute(_connection, command, _args, _timeout), do: raise("no #{command} today")
    @impl true
    defdelegate grpc_execute_stream(connection, command, args, callback, timeout),
      to: CallingAdapter
  end

  setup do: TelemetryStandIn.install()

  defp start_pool(options \\ []) do
    python = [modules: ["test_handlers", "session_handlers"]]
    PoolHelper.start_pool([python: python] ++ options)
  end

  # The first event of this name, and of this pool if it has one.
  defp await(name, pool \\ nil) do
    assert_receive {:event, ^name, measured, metadata}
                   when pool == nil or :erlang.map_get(:pool, metadata) == pool,
                   10_000

    {measured, metadata}
  end

  test "a call is a span, with its worker and its names" do
    pool = start_pool()

    opts = [pool: pool, request_id: "r-1", session_id: "s-1"]
    {:ok, _} = Snakepit.execute("say", %{text: "hello"}, opts)

    {started, metadata} = await([:snakepit, :execute, :start])

    assert %{
             pool: ^pool,
             command: "say",
             request_id: "r-1",
             session_id: "s-1",
             worker_id: nil
           } = metadata

    assert %{monotonic_time: monotonic, system_time: system} = started
    assert monotonic <= System.monotonic_time()
    assert abs(system - System.system_time()) < System.convert_time_unit(60, :second, :native)

    {stopped, metadata} = await([:snakepit, :execute, :stop])
    assert %{result: :ok, reason: nil, request_id: "r-1"} = metadata
    assert metadata.worker_id =~ to_string(pool)
    assert stopped.duration > 0 and stopped.duration <= System.monotonic_time() - monotonic

    {request, metadata} = await([:snakepit, :grpc, :request])
    assert %{command: "say", streaming: false} = metadata
    assert request.duration <= stopped.duration
  end

  test "an error is the reason of a span, and nobody else's arguments are in it" do
    pool = start_pool()
    {:error, error} = Snakepit.execute("raise_error", %{message: "no"}, pool: pool)
    {_measured, metadata} = await([:snakepit, :execute, :stop])
    assert %{result: :error, reason: ^error} = metadata
    refute Map.has_key?(metadata, :args)

    {:error, :worker_timeout} = Snakepit.execute("wait_async", %{}, pool: pool, timeout: 50)
    {_measured, metadata} = await([:snakepit, :execute, :stop])
    assert %{result: :error, reason: :worker_timeout} = metadata
  end

  test "a stream tells what has passed and how long its consumer held it up" do
    pool = start_pool()

    # The producer fills the window of four while the first chunk is looked at.
    slow = fn _chunk -> receive do: (:never -> :ok), after: (20 -> :ok) end
    :ok = Snakepit.execute_stream("count", %{n: 20}, slow, pool: pool, window: 4)

    {_started, metadata} = await([:snakepit, :stream, :start])
    assert %{command: "count", shape: :server, pool: ^pool} = metadata

    {measured, metadata} = await([:snakepit, :stream, :stop])
    assert %{result: :ok, reason: nil} = metadata
    assert metadata.worker_id =~ to_string(pool)
    assert %{chunks: 21, sent: 0, bytes: bytes, first_chunk: first, duration: duration} = measured
    assert bytes > 20
    assert first > 0 and first < duration
    assert measured.stalls > 0
    assert measured.stalled > 0 and measured.stalled < duration

    {stall, metadata} = await([:snakepit, :stream, :stall])
    assert stall.duration > 0
    assert %{command: "count", shape: :server} = metadata
  end

  test "a consumer that keeps up is never said to hold anything up" do
    pool = start_pool()
    :ok = Snakepit.execute_stream("count", %{n: 20}, fn _ -> :ok end, pool: pool)
    {measured, _metadata} = await([:snakepit, :stream, :stop])
    assert %{stalls: 0, stalled: 0} = measured
    refute_received {:event, [:snakepit, :stream, :stall], _measured, _metadata}
  end

  test "the chunks of the caller are counted" do
    pool = StreamHelper.start_pool()
    input = for n <- 1..10, do: %{n: n}
    {:ok, _} = Snakepit.execute_client_stream("total", %{}, input, pool: pool)
    {measured, metadata} = await([:snakepit, :stream, :stop])
    assert %{shape: :client} = metadata
    assert %{sent: 10} = measured
  end

  for {shape, reason_when_left} <- [callback: nil, enumerable: nil, messages: :cancelled] do
    @tag shape: shape, reason_when_left: reason_when_left
    test "the span of a stream ends once, whatever becomes of it (#{shape})", context do
      pool = start_pool()
      shape = context.shape

      {_chunks, :ok} = StreamHelper.collect(shape, "count", %{n: 3}, pool: pool)
      {measured, metadata} = await([:snakepit, :stream, :stop])
      assert {%{chunks: 4}, %{result: :ok}} = {measured, metadata}

      {_chunks, {:error, _}} = StreamHelper.collect(shape, "fail_after", %{n: 3}, pool: pool)
      {_measured, metadata} = await([:snakepit, :stream, :stop])
      assert %{result: :error, reason: %Error{kind: :python}} = metadata

      beacon = Beacon.open()
      {[_chunk], :ok} = StreamHelper.take(shape, "produced", produced(beacon), [pool: pool], 1)
      {_measured, metadata} = await([:snakepit, :stream, :stop])
      assert metadata.reason == context.reason_when_left

      StreamHelper.await_free(pool)
      settle_pool(pool)
      refute_received {:event, [:snakepit, :stream, :stop], _measured, _metadata}
      {:ok, shared} = Snakepit.Pool.Shared.fetch(pool)
      assert Snakepit.Pool.Streams.running(shared) == []
      assert :ets.tab2list(shared.streams) == []
    end
  end

  defp produced(beacon), do: %{beacon: beacon.port, n: 10_000_000}

  defp settle_pool(name) do
    {:ok, pool} = Snakepit.Pool.Shared.fetch(name)
    settle(pool)
  end

  test "a stream whose callback raises ends with an exception" do
    pool = start_pool()

    catch_error(Snakepit.execute_stream("count", %{n: 3}, fn _ -> raise "enough" end, pool: pool))

    {measured, metadata} = await([:snakepit, :stream, :exception])

    assert %{kind: :error, reason: %RuntimeError{message: "enough"}, stacktrace: [_ | _]} =
             metadata

    assert %{chunks: 4} = measured
    refute_received {:event, [:snakepit, :stream, :stop], _measured, _metadata}
  end

  test "a stream whose caller is killed ends for this reason" do
    pool = start_pool()
    test = self()

    caller =
      spawn(fn ->
        callback = fn _chunk -> send(test, :running) end
        Snakepit.execute_stream("produced", produced(Beacon.open()), callback, pool: pool)
      end)

    assert_receive :running, 10_000
    kill(caller)
    {_measured, metadata} = await([:snakepit, :stream, :stop])
    assert %{result: :error, reason: :caller_down} = metadata
  end

  test "who waits for a slot, and who gets none" do
    pool = start_pool(max_concurrent_streams: 1, queue_limit: 1)
    beacon = Beacon.open()
    holding = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end)
    from = Beacon.await(beacon, "held")

    waiting = Task.async(fn -> Snakepit.execute("os_pid", %{}, pool: pool) end)
    StreamHelper.eventually(fn -> Snakepit.get_stats(pool).queued == 1 end)

    {:error, :pool_saturated} = Snakepit.execute("say", %{text: ""}, pool: pool)
    {measured, metadata} = await([:snakepit, :queue, :reject])
    assert {%{count: 1}, %{command: "say", reason: :pool_saturated}} = {measured, metadata}

    Beacon.release(beacon, from)
    {:ok, _} = Task.await(holding)
    {:ok, _} = Task.await(waiting)

    assert_receive {:event, [:snakepit, :queue, :wait], measured, %{command: "os_pid"} = metadata}
    assert %{result: :ok, reason: nil, pool: ^pool} = metadata
    assert measured.duration > 0
  end

  test "the life of a worker" do
    pool = start_pool()
    {_started, metadata} = await([:snakepit, :worker_start, :start], pool)
    assert %{worker_id: id} = metadata
    {measured, %{worker_id: ^id, os_pid: os_pid}} = await([:snakepit, :worker_start, :stop], pool)
    assert measured.duration > 0
    {_count, metadata} = await([:snakepit, :worker, :ready], pool)
    assert %{worker_id: ^id, os_pid: ^os_pid, transport: "native"} = metadata
    {measured, metadata} = await([:snakepit, :health, :check], pool)
    assert %{worker_id: ^id, result: :ok} = metadata
    assert %{duration: _, rss_bytes: rss} = measured
    assert rss > 1_000_000

    Snakepit.execute("end_process", %{status: 7}, pool: pool)
    {measured, metadata} = await([:snakepit, :worker, :exit], pool)

    assert %{worker_id: ^id, os_pid: ^os_pid, why: :crashed, how: "ended with status 7"} =
             metadata

    assert measured.uptime > 0
    {measured, _metadata} = await([:snakepit, :worker, :restart], pool)
    assert %{failures: 1, delay: _} = measured

    {_measured, %{os_pid: next}} = await([:snakepit, :worker_start, :stop], pool)
    :ok = stop_supervised({Snakepit.Pool, pool})
    {_measured, metadata} = await([:snakepit, :worker, :exit], pool)
    assert %{os_pid: ^next, why: :stopped} = metadata
  end

  test "a worker that cannot start" do
    {:error, _reason} = try_pool(python: [modules: ["broken_module"]])
    {measured, metadata} = await([:snakepit, :worker_start, :exception])
    assert measured.duration > 0
    assert %{kind: :error, reason: %Error{kind: :worker_crashed}, stacktrace: []} = metadata
  end

  test "a worker that has served enough" do
    pool = start_pool(recycle: [max_requests: 1])
    {:ok, _} = Snakepit.execute("os_pid", %{}, pool: pool)
    {_count, metadata} = await([:snakepit, :worker, :recycle])
    assert %{pool: ^pool, worker_id: _, why: "has served as many requests as it may"} = metadata
    # The old one is stopped, and that is no crash.
    {_measured, metadata} = await([:snakepit, :worker, :exit])
    assert %{why: :stopped} = metadata
  end

  test "the life of a session" do
    pool = start_pool(session_ttl: 200)
    remember = &Snakepit.execute_in_session(&1, "remember", %{value: 1}, pool: pool)

    {:ok, _} = remember.("a")
    {_count, metadata} = await([:snakepit, :session, :opened])
    assert %{pool: ^pool, session_id: "a", worker_id: _} = metadata
    {_count, %{session_id: "a"}} = await([:snakepit, :session, :expired])

    {:ok, _} = remember.("b")
    :ok = Snakepit.Session.delete("b", pool: pool)
    {_count, %{session_id: "b"}} = await([:snakepit, :session, :deleted])

    {:ok, _} = remember.("c")
    Snakepit.execute_in_session("c", "end_process", %{status: 1}, pool: pool)
    {_count, %{session_id: "c"}} = await([:snakepit, :session, :lost])
  end

  test "the life of a job" do
    pool = start_pool()
    {:ok, id} = Jobs.submit("say", %{text: "hello"}, pool: pool)
    {_started, metadata} = await([:snakepit, :job, :start])
    assert %{jobs: Jobs, job_id: ^id, command: "say"} = metadata
    {measured, metadata} = await([:snakepit, :job, :stop])
    assert %{job_id: ^id, state: "completed", reason: nil} = metadata
    assert %{duration: duration, queue_time: queue, run_time: run} = measured
    assert duration == queue + run

    {:ok, id} = Jobs.submit("wait_async", %{}, pool: pool)
    StreamHelper.eventually(fn -> match?({:ok, %{"state" => "running"}}, Jobs.status(id)) end)
    :ok = Jobs.cancel(id)
    {_measured, metadata} = await([:snakepit, :job, :stop])
    assert %{job_id: ^id, state: "canceled", reason: :cancelled} = metadata
  end

  test "an adapter whose own code raises, in a call and in a job" do
    options = [adapter: RaisingAdapter, server_startup_timeout: 30_000]
    pool = PoolHelper.start_pool(options)
    assert_raise RuntimeError, fn -> Snakepit.execute("ping", %{}, pool: pool) end
    {measured, metadata} = await([:snakepit, :execute, :exception])
    assert %{kind: :error, reason: %RuntimeError{message: "no ping today"}} = metadata
    assert [_ | _] = metadata.stacktrace
    assert measured.duration > 0

    {:ok, id} = Jobs.submit("ping", %{}, pool: pool)
    {measured, metadata} = await([:snakepit, :job, :exception])
    assert %{job_id: ^id, kind: :error, reason: %RuntimeError{}} = metadata
    assert %{run_time: _} = measured

    # Its streams pass by our own client, and their chunks are counted all the same.
    :ok = Snakepit.execute_stream("ping_stream", %{count: 3}, & &1, pool: pool)
    {measured, _metadata} = await([:snakepit, :stream, :stop])
    assert %{chunks: 4} = measured
  end

  test "a handler that raises harms no call" do
    pool = start_pool()
    test = self()

    TelemetryStandIn.install(fn event, _measured, _metadata ->
      send(test, {:handled, event})
      raise "a broken handler"
    end)

    log =
      capture_log(fn ->
        assert {:ok, _} = Snakepit.execute("os_pid", %{}, pool: pool)
        assert :ok = Snakepit.execute_stream("count", %{n: 3}, & &1, pool: pool)
      end)

    assert_received {:handled, [:snakepit, :execute, :stop]}
    assert log =~ "A handler of the event [:snakepit, :execute, :stop] failed"
    assert log =~ "a broken handler"
    assert [%{state: :ready}] = Snakepit.list_workers(pool)
    TelemetryStandIn.install()
  end

  test "without the application nothing is sent, and a call pays less than a microsecond" do
    TelemetryStandIn.remove()
    pool = start_pool()
    {:ok, _} = Snakepit.execute("os_pid", %{}, pool: pool)
    refute_received {:event, _name, _measured, _metadata}

    {:ok, shared} = Snakepit.Pool.Shared.fetch(pool)
    {:ok, request} = Snakepit.Request.new("os_pid", %{}, [])
    call = fn -> {{:ok, %{}}, "worker"} end
    told = fn -> Telemetry.execute(shared, request, call) end

    paid =
      for _ <- 1..11 do
        {plus, _} = :timer.tc(fn -> for _ <- 1..10_000, do: told.() end)
        {without, _} = :timer.tc(fn -> for _ <- 1..10_000, do: call.() end)
        (plus - without) / 10_000
      end

    # A loaded machine is slower.
    assert StreamHelper.median(paid) < 3
    assert Enum.all?(Telemetry.events(), &match?([:snakepit | _], &1))
  end
end
