defmodule Snakepit.Telemetry.EventsTest do
  # There is one module of the name :telemetry for all tests.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog
  import Snakepit.Test.PoolHelper, except: [start_pool: 0, start_pool: 1]

  alias Snakepit.{Error, GRPCWorker, Jobs, Telemetry}
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

    # As many as had come by then.
    assert measured.chunks in 1..4
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

  test "a worker that ends before its supervisor comes to stop it" do
    pool = start_pool()
    [%{pid: worker, os_pid: os_pid}] = Snakepit.list_workers(pool)
    :ok = GRPCWorker.stop_process(worker)
    {_measured, metadata} = await([:snakepit, :worker, :exit], pool)
    assert %{os_pid: ^os_pid, why: :stopped, how: "was told to end"} = metadata
    :ok = stop_supervised({Snakepit.Pool, pool})
    refute_received {:event, [:snakepit, :worker, :exit], _uptime, %{pool: ^pool}}
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

  test "that a job has ended nobody sees before its event is told" do
    pool = start_pool()
    test = self()

    TelemetryStandIn.install(fn
      [:snakepit, :job, :stop], _measured, %{job_id: id} ->
        {:ok, status} = Jobs.status(id)
        send(test, {:seen_by_handler, id, status["state"]})

      _other, _measured, _metadata ->
        :ok
    end)

    {:ok, id} = Jobs.submit("say", %{text: "hello"}, pool: pool)
    assert {:ok, %{}} = Jobs.result(id)
    assert_received {:seen_by_handler, ^id, "running"}
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

  describe "a cancellation tells why, and how long Python took," do
    setup do: %{pool: start_pool(), beacon: Beacon.open()}

    defp cancelled(pool, request_id) do
      assert_receive {:event, [:snakepit, :cancel], %{duration: duration},
                      %{pool: ^pool, request_id: ^request_id} = metadata},
                     10_000

      assert duration > 0
      assert duration < System.convert_time_unit(10, :second, :native)
      assert metadata.worker_id =~ to_string(pool)
      {metadata.command, metadata.why}
    end

    defp endless(pool, beacon, opts),
      do: {"produced", produced(beacon), [pool: pool] ++ opts}

    test "when a consumer wants no more", %{pool: pool, beacon: beacon} do
      {command, args, opts} = endless(pool, beacon, request_id: "halt")
      :ok = Snakepit.execute_stream(command, args, fn _ -> :halt end, opts)
      assert cancelled(pool, "halt") == {"produced", :halted}

      {command, args, opts} = endless(pool, beacon, request_id: "lazy")
      [_] = command |> Snakepit.stream!(args, opts) |> Enum.take(1)
      assert cancelled(pool, "lazy") == {"produced", :halted}
    end

    test "when a consumer raises", %{pool: pool, beacon: beacon} do
      {command, args, opts} = endless(pool, beacon, request_id: "raise")

      for n <- 1..20 do
        opts = Keyword.put(opts, :request_id, "raise #{n}")
        catch_error(Snakepit.execute_stream(command, args, fn _ -> raise "no" end, opts))
        assert cancelled(pool, "raise #{n}") == {"produced", :raised}
      end
    end

    test "when a stream of messages is cancelled", %{pool: pool, beacon: beacon} do
      {command, args, opts} = endless(pool, beacon, request_id: "messages")
      {:ok, %{ref: ref} = stream} = Snakepit.start_stream(command, args, opts)
      assert_receive {:snakepit, ^ref, {:chunk, _}}, 5_000
      :ok = Snakepit.cancel(stream)
      assert cancelled(pool, "messages") == {"produced", :cancelled}
    end

    test "when time is up", %{pool: pool, beacon: beacon} do
      opts = [pool: pool, timeout: 100, request_id: "call"]
      {:error, :worker_timeout} = Snakepit.execute("wait_async", %{}, opts)
      assert cancelled(pool, "call") == {"wait_async", :worker_timeout}

      {command, args, opts} = endless(pool, beacon, timeout: 100, request_id: "stream")
      {:error, :worker_timeout} = Snakepit.execute_stream(command, args, fn _ -> :ok end, opts)
      assert cancelled(pool, "stream") == {"produced", :worker_timeout}
    end

    test "also of a handler that ended only with its process", %{pool: pool, beacon: beacon} do
      opts = [pool: pool, chunk_timeout: 100, request_id: "silence"]
      args = %{beacon: beacon.port, n: 1}
      {:error, :chunk_timeout} = Snakepit.execute_stream("silent_after", args, & &1, opts)
      assert_receive {:event, [:snakepit, :cancel], %{duration: duration}, metadata}, 10_000
      assert %{request_id: "silence", why: :chunk_timeout, how: "killed"} = metadata
      assert duration >= System.convert_time_unit(2, :second, :native)
    end

    test "when the caller is killed", %{pool: pool, beacon: beacon} do
      test = self()
      {command, args, opts} = endless(pool, beacon, request_id: "killed")
      callback = fn _chunk -> send(test, :running) end
      caller = spawn(fn -> Snakepit.execute_stream(command, args, callback, opts) end)
      assert_receive :running, 10_000
      kill(caller)
      assert cancelled(pool, "killed") == {"produced", :caller_down}

      hold = %{beacon: beacon.port}
      opts = [pool: pool, request_id: "killed too"]
      caller = spawn(fn -> Snakepit.execute("hold_async", hold, opts) end)
      Beacon.await(beacon, "held")
      kill(caller)
      assert cancelled(pool, "killed too") == {"hold_async", :caller_down}
    end

    test "when a job is canceled", %{pool: pool} do
      {:ok, id} = Jobs.submit("wait_async", %{}, pool: pool)
      StreamHelper.eventually(fn -> match?({:ok, %{"state" => "running"}}, Jobs.status(id)) end)
      :ok = Jobs.cancel(id)
      assert cancelled(pool, id) == {"wait_async", :job_canceled}
    end
  end

  test "every documented event is emitted, and no other" do
    seen = :ets.new(:seen, [:public, :set])
    TelemetryStandIn.install(fn name, _measured, _metadata -> :ets.insert(seen, {name}) end)
    seen? = fn name -> :ets.member(seen, [:snakepit | name]) end
    once = fn name -> StreamHelper.eventually(fn -> seen?.(name) end) end

    pool =
      PoolHelper.start_pool(
        max_concurrent_streams: 1,
        queue_limit: 1,
        session_ttl: 50,
        python: [modules: ["test_handlers", "session_handlers", "logging_handlers"]]
      )

    opts = [pool: pool]
    remember = &Snakepit.execute_in_session(&1, "remember", %{value: 1}, opts)

    # Calls, streams, jobs, and who waits.
    {:ok, _} = Snakepit.execute("os_pid", %{}, opts)
    slow = fn _chunk -> receive do: (:never -> :ok), after: (5 -> :ok) end
    :ok = Snakepit.execute_stream("count", %{n: 9}, slow, [window: 2] ++ opts)
    catch_error(Snakepit.execute_stream("count", %{n: 9}, fn _ -> raise "no" end, opts))
    {:error, :worker_timeout} = Snakepit.execute("wait_async", %{}, [timeout: 50] ++ opts)
    once.([:cancel])
    beacon = Beacon.open()
    holding = Task.async(fn -> Snakepit.execute("hold", %{beacon: beacon.port}, opts) end)
    from = Beacon.await(beacon, "held")
    waiting = Task.async(fn -> Snakepit.execute("os_pid", %{}, opts) end)
    StreamHelper.eventually(fn -> Snakepit.get_stats(pool).queued == 1 end)
    {:error, :pool_saturated} = Snakepit.execute("os_pid", %{}, opts)
    Beacon.release(beacon, from)
    for task <- [holding, waiting], do: {:ok, _} = Task.await(task)
    {:ok, id} = Jobs.submit("os_pid", %{}, opts)
    {:ok, _} = Jobs.result(id)

    # Sessions, the log, and workers.
    {:ok, _} = remember.("expires")
    once.([:session, :expired])
    {:ok, _} = remember.("deleted")
    :ok = Snakepit.Session.delete("deleted", opts)
    {:ok, _} = Snakepit.execute("log_without_end", %{count: 20_000}, [timeout: 60_000] ++ opts)
    once.([:log, :dropped])
    Snakepit.execute_in_session("lost", "end_process", %{status: 1}, opts)
    once.([:session, :lost])
    once.([:worker, :exit])
    {:error, _reason} = try_pool(python: [modules: ["broken_module"]])

    recycled = start_pool(recycle: [max_requests: 1])
    {:ok, _} = Snakepit.execute("os_pid", %{}, pool: recycled)
    once.([:worker, :recycle])

    # Code of an adapter that raises.
    adapted = [adapter: RaisingAdapter, server_startup_timeout: 30_000]
    raising = PoolHelper.start_pool(adapted)
    assert_raise RuntimeError, fn -> Snakepit.execute("ping", %{}, pool: raising) end
    {:ok, id} = Jobs.submit("ping", %{}, pool: raising)
    {:error, _crash} = Jobs.result(id)

    emitted = seen |> :ets.tab2list() |> Enum.map(&elem(&1, 0)) |> Enum.sort()
    assert emitted == Enum.sort(Telemetry.events())
    # Before the table goes, as the pools stop after the test.
    TelemetryStandIn.install()
  end

  test "nobody but Snakepit.Telemetry emits" do
    for path <- Path.wildcard("lib/**/*.ex"), File.read!(path) =~ ~r/:telemetry\b[^`"]*execute/ do
      assert path == "lib/snakepit/telemetry.ex"
    end
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
