defmodule Snakepit.Adapters.PipeTest do
  # Programs that an application wrote from the documentation, spoken to through pipes.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, GRPCWorker}
  alias Snakepit.Test.{LogTap, OsProcess, OtherVM, PackedPipeAdapter, PipeAdapter, StrayAdapter}

  @moduletag :capture_log

  @quick_health [interval: 50, timeout: 100, max_misses: 2]

  defp start(adapter, options \\ []), do: start_pool([adapter: adapter] ++ options)

  defp seen(pool) do
    {:ok, %{"seen" => seen}} = Snakepit.execute("ping", %{}, pool: pool)
    seen
  end

  for {adapter, transport} <- [
        {PipeAdapter, "stdio-json"},
        {PackedPipeAdapter, "stdio-msgpack"}
      ] do
    describe "a program that speaks #{transport}" do
      @adapter adapter
      @transport transport

      test "is ready when it answers, and serves calls" do
        pool = start(@adapter, pool_size: 2)
        assert {:ok, %{"status" => "ok"}} = Snakepit.execute("ping", %{}, pool: pool)
        assert {:ok, %{"result" => 5}} = Snakepit.execute("scalar", %{}, pool: pool)
        assert [%{transport: @transport, state: :ready, os_pid: os_pid} | _] = workers(pool)
        assert is_integer(os_pid)
        assert %{ready: 2, requests: 2, errors: 0} = Snakepit.get_stats(pool)
        assert {:ok, %{"healthy" => true}} = GRPCWorker.get_health(hd(workers(pool)).pid)
      end

      test "gets the call as it was made" do
        pool = start(@adapter)

        options = [session_id: "s", request_id: "r", metadata: %{"k" => "v"}, timeout: 5_000]

        {:ok, %{"request" => request}} =
          Snakepit.execute("request", %{a: 1}, [pool: pool] ++ options)

        assert %{
                 "command" => "request",
                 "args" => %{"a" => 1},
                 "session_id" => "s",
                 "request_id" => "r",
                 "metadata" => %{"k" => "v"},
                 "timeout_ms" => timeout
               } = request

        assert timeout in 4_000..5_000
        call = Snakepit.execute("request", %{}, pool: pool, timeout: :infinity)
        assert {:ok, %{"request" => request}} = call
        assert Enum.sort(Map.keys(request)) == ~w(args command id request_id)
      end

      test "may answer with an error, with or without details" do
        pool = start(@adapter)

        assert {:error,
                %Error{kind: :python, message: "division by zero", command: "fail"} = error} =
                 Snakepit.execute("fail", %{}, pool: pool)

        assert error.worker_id == hd(workers(pool)).id
        detail = %{kind: "invalid_arguments", type: "TypeError", message: "why", traceback: "tb"}

        assert {:error,
                %Error{
                  kind: :invalid_arguments,
                  message: "why",
                  python_type: "TypeError",
                  traceback: "tb"
                }} = Snakepit.execute("fail_detail", detail, pool: pool)

        for {kind, reason} <- [{"busy", :worker_busy}, {"cancelled", :cancelled}] do
          assert {:error, ^reason} = Snakepit.execute("fail_detail", %{kind: kind}, pool: pool)
        end

        assert {:error, %Error{kind: :unknown_command}} =
                 Snakepit.execute("no_such_command", %{}, pool: pool)
      end

      test "gets and gives large frames" do
        pool = start(@adapter)
        data = :binary.copy("0123456789", 300_000)
        assert {:ok, %{"data" => ^data}} = Snakepit.execute("echo", %{data: data}, pool: pool)
      end

      test "may put the id of a reply at its end" do
        pool = start(@adapter)
        assert Snakepit.execute("id_last", %{}, pool: pool) == {:ok, %{"late" => 1}}
      end

      test "cannot stream, and no slot is taken for it" do
        pool = start(@adapter)
        opts = [pool: pool]
        refused = {:error, :streaming_not_supported}
        assert Snakepit.execute_stream("count", %{}, & &1, opts) == refused
        assert Snakepit.execute_in_session_stream("s", "count", %{}, & &1, opts) == refused
        assert Snakepit.execute_client_stream("count", %{}, [%{}], opts) == refused
        assert Snakepit.execute_bidi_stream("count", %{}, [%{}], & &1, opts) == refused
        assert Snakepit.start_stream("count", %{}, opts) == refused
        assert GRPCWorker.execute_stream(hd(workers(pool)).pid, "count", %{}, & &1) == refused

        assert_raise Error, ~r/cannot stream/, fn ->
          "count" |> Snakepit.stream!(%{}, opts) |> Enum.to_list()
        end

        assert %{requests: 0, errors: 0} = Snakepit.get_stats(pool)
      end

      test "ends its calls with :worker_exited when it ends, and is replaced" do
        pool = start(@adapter)
        {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("os_pid", %{}, pool: pool)
        call = Task.async(fn -> Snakepit.execute("sleep", %{ms: 60_000}, pool: pool) end)
        await_busy(pool, 1)
        OsProcess.signal(os_pid, "KILL")
        assert Task.await(call) == {:error, :worker_exited}

        # The next call waits for the next process.
        assert {:ok, %{"os_pid" => other}} = Snakepit.execute("os_pid", %{}, pool: pool)
        assert other != os_pid
        assert %{restarts: 1, busy_slots: 0} = Snakepit.get_stats(pool)
      end

      test "keeps its session to one process" do
        pool = start(@adapter, pool_size: 2)

        os_pids =
          for _ <- 1..10 do
            {:ok, %{"os_pid" => os_pid}} =
              Snakepit.execute_in_session("s", "os_pid", %{}, pool: pool)

            os_pid
          end

        assert [_one] = Enum.uniq(os_pids)
        assert %{sessions: 1} = Snakepit.get_stats(pool)
      end

      test "leaves nothing behind when the pool stops" do
        pool = start(@adapter, pool_size: 2)
        os_pids = for %{os_pid: os_pid} <- workers(pool), do: OsProcess.watch(os_pid)
        assert {:ok, %{directory: nil}} = Snakepit.Pool.Shared.fetch(pool)
        :ok = stop_supervised({Snakepit.Pool, pool})
        OsProcess.await_ends(os_pids)
      end
    end
  end

  describe "a deadline" do
    test "ends a call, and the program hears of it" do
      pool = start(PipeAdapter)
      result = Snakepit.execute("sleep", %{ms: 300}, pool: pool, timeout: 50)
      assert result == {:error, :worker_timeout}
      # The late reply is for nobody.
      assert %{"id" => id} = Enum.find(seen(pool), &(&1["command"] == "sleep"))
      await_cancel(pool, id)
      assert %{timeouts: 1, busy_slots: 0} = Snakepit.get_stats(pool)
    end

    test "holds when the program does not read its input" do
      pool = start(PipeAdapter, health: [interval: 60_000])
      deaf = Task.async(fn -> Snakepit.execute("sleep", %{ms: 1_500}, pool: pool) end)
      await_busy(pool, 1)
      # More than a pipe takes, many times.
      args = %{data: :binary.copy("x", 1_000_000)}

      calls =
        for _ <- 1..5 do
          Task.async(fn ->
            :timer.tc(fn -> Snakepit.execute("echo", args, pool: pool, timeout: 300) end)
          end)
        end

      for call <- calls do
        {microseconds, result} = Task.await(call)
        assert result == {:error, :worker_timeout}
        assert microseconds < 900_000
      end

      assert {:ok, _slept} = Task.await(deaf)

      # What nobody waited for any more was not written; a cancel never comes before its call.
      seen = for %{"id" => id} = frame <- seen(pool), do: {frame["type"] || frame["command"], id}
      assert Enum.count(seen, &match?({"echo", _id}, &1)) < 5
      assert Enum.count(seen, &match?({"cancel", _id}, &1)) < 5

      for {{"echo", id}, index} <- Enum.with_index(seen),
          do: assert(Enum.find_index(seen, &(&1 == {"cancel", id})) > index)

      assert %{busy_slots: 0} = Snakepit.get_stats(pool)
    end
  end

  test "a call that was never written is made again when the program is replaced" do
    pool = start(PipeAdapter, health: [interval: 500, timeout: 500, max_misses: 1])
    deaf = Task.async(fn -> Snakepit.execute("deaf", %{}, pool: pool) end)
    await_busy(pool, 1)
    args = %{data: :binary.copy("x", 1_000_000)}
    fill = Task.async(fn -> Snakepit.execute("echo", args, pool: pool) end)
    await_busy(pool, 2)
    [%{pid: pid}] = workers(pool)
    {:ok, channel} = GRPCWorker.get_channel(pid)
    await_waiting(channel, 0)

    [first, second] =
      for n <- 1..2 do
        waits = Task.async(fn -> Snakepit.execute("echo", %{n: n}, pool: pool) end)
        await_waiting(channel, n)
        waits
      end

    # The program may have read something of these, or not.
    for call <- [deaf, fill], do: assert(Task.await(call) == {:error, :worker_exited})
    assert Task.await(first) in [{:error, :worker_exited}, {:ok, %{"n" => 1}}]
    assert Task.await(second) == {:ok, %{"n" => 2}}
  end

  # Until so many calls wait to be written; for 0, until the pipe is full.
  defp await_waiting(channel, 0),
    do: eventually(fn -> not Port.command(channel.port, "", [:nosuspend]) end)

  defp await_waiting(channel, count) do
    frames = [{{{:frame, :_}, :_, :_, :_}, [], [true]}]
    eventually(fn -> :ets.select_count(channel.calls, frames) >= count end)
  end

  test "a program that is busy ends with the VM all the same" do
    vm = OtherVM.start_reporting([adapter: PipeAdapter], "os_pid")
    [os_pid] = OtherVM.await(vm, "os_pid")
    os_pid = OsProcess.watch(String.to_integer(os_pid))
    busy = ~s|spawn(fn -> Snakepit.execute("deaf", %{}, pool: :other) end)|
    assert OtherVM.eval(vm, busy) =~ "PID"
    OtherVM.signal(vm, "KILL")
    OsProcess.await_ends([vm.os_pid, os_pid], 5_000)
  end

  test "a caller that dies gives its slot back, and the program hears of it" do
    pool = start(PipeAdapter)
    caller = spawn(fn -> Snakepit.execute("sleep", %{ms: 200}, pool: pool) end)
    await_busy(pool, 1)
    kill(caller)
    seen = seen(pool)
    assert %{"id" => id} = Enum.find(seen, &(&1["command"] == "sleep"))
    await_cancel(pool, id)
    assert %{busy_slots: 0} = Snakepit.get_stats(pool)
  end

  defp await_cancel(pool, id) do
    eventually(fn -> Enum.any?(seen(pool), &match?(%{"id" => ^id, "type" => "cancel"}, &1)) end)
  end

  test "calls from many processes do not mix" do
    pool = start(PipeAdapter, pool_size: 2)

    1..2_000
    |> Task.async_stream(
      fn n ->
        data = String.duplicate("#{n} ", rem(n, 300))
        result = Snakepit.execute("echo", %{n: n, data: data}, pool: pool)
        assert result == {:ok, %{"n" => n, "data" => data}}
      end,
      max_concurrency: 50,
      ordered: false
    )
    |> Stream.run()

    assert %{busy_slots: 0, errors: 0} = Snakepit.get_stats(pool)
  end

  test "a program that does not answer health checks is replaced" do
    pool = start(PipeAdapter, health: @quick_health)
    [%{id: id}] = workers(pool)
    LogTap.attach()
    result = Snakepit.execute("deaf", %{}, pool: pool)
    assert result == {:error, :worker_exited}
    assert_receive {:log, "Worker" <> text, %{level: :error, worker_id: ^id}}
    assert text =~ "did not answer 2 health checks"
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
  end

  test "commands that the adapter does not name are refused at once" do
    config = Snakepit.Config.new!(adapter: StrayAdapter)
    assert config.commands == ["ping"]
    pool = start_server(adapter: StrayAdapter)

    assert {:error, %Error{kind: :unknown_command, message: message}} =
             Snakepit.execute("pong", %{}, pool: pool.config.name)

    assert message =~ ~s("pong" is none of the commands of Snakepit.Test.StrayAdapter)
    assert %{queued: 0} = Snakepit.get_stats(pool.config.name)
  end

  test "its standard error is not its protocol" do
    pool = start(PipeAdapter)
    assert {:ok, _} = Snakepit.execute("complain", %{text: ""}, pool: pool)
  end

  test "gets the environment of the pool, and threads" do
    pool = start(PipeAdapter, python: [env: [COLOR: "red"], threads: 3])

    for {name, value} <- [{"COLOR", "red"}, {"OMP_NUM_THREADS", "3"}] do
      assert Snakepit.execute("environment", %{name: name}, pool: pool) ==
               {:ok, %{"value" => value}}
    end
  end

  test "a recycled worker loses no call" do
    pool = start(PipeAdapter, pool_size: 1, recycle: [max_requests: 20])

    1..100
    |> Task.async_stream(
      fn _ -> assert {:ok, _} = Snakepit.execute("os_pid", %{}, pool: pool) end,
      max_concurrency: 5
    )
    |> Stream.run()

    assert %{errors: 0} = Snakepit.get_stats(pool)
  end

  defp workers(pool), do: Snakepit.list_workers(pool)
end
