defmodule Snakepit.Adapters.GRPCJavaScriptTest do
  # Workers in JavaScript: what they promise, asked of real Node.js processes.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_free: 1, eventually: 1, eventually: 2]

  alias Snakepit.{Adapters.GRPCJavaScript, Error, GRPCWorker}
  alias Snakepit.Test.{Beacon, LogTap, OsProcess, OtherVM, PoolHelper}

  @moduletag :javascript
  @moduletag :capture_log

  @handlers [path: ["test/support/javascript"], modules: ["handlers.js"]]
  @hooks [path: ["test/support/javascript"], modules: ["hooks"]]
  @within_ms 50
  @runs 5

  setup_all do
    %{pool: start_pool()}
  end

  setup do
    %{beacon: Beacon.open(), key: "key #{System.unique_integer([:positive])}"}
  end

  defp start_pool(options \\ []) do
    {javascript, options} = Keyword.pop(options, :javascript, [])

    [adapter: GRPCJavaScript, javascript: Keyword.merge(@handlers, javascript)]
    |> Keyword.merge(options)
    |> PoolHelper.start_pool()
  end

  defp os_pid(pool) do
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    os_pid
  end

  defp restarted?(pool, before),
    do:
      match?(
        [%{state: :ready, os_pid: os_pid}] when os_pid != before,
        Snakepit.list_workers(pool)
      )

  defp made(pool, key) do
    {:ok, %{"made" => made}} = Snakepit.execute("made", %{key: key}, pool: pool)
    made
  end

  # The producer comes to `count` and no further, however often the worker is asked for something.
  defp stands_still_at(pool, key, count) do
    eventually(fn -> made(pool, key) >= count end)
    for _turn <- 1..20, do: assert(made(pool, key) == count)
  end

  describe "calls" do
    test "values arrive in JavaScript as documented", %{pool: pool} do
      for {value, expected} <- [
            {nil, {"null", "null"}},
            {true, {"boolean", "true"}},
            {1, {"number", "1"}},
            {1.5, {"number", "1.5"}},
            {9_007_199_254_740_991, {"number", "9007199254740991"}},
            {9_007_199_254_740_992, {"bigint", "9007199254740992"}},
            {-9_223_372_036_854_775_809, {"bigint", "-9223372036854775809"}},
            {2 ** 200, {"bigint", Integer.to_string(2 ** 200)}},
            {"grüße", {"string", "grüße"}},
            {:atom, {"string", "atom"}},
            {~D[2026-01-02], {"string", "2026-01-02"}},
            {{1, "two"}, {"Array", ~s([1,"two"])}},
            {%{"b" => %{c: nil}}, {"Object", ~s({"b":{"c":null}})}},
            {%{1 => "one"}, {"Map", ~s([[1,"one"]])}},
            {<<0, 255>>, {"Buffer", ~s({"type":"Buffer","data":[0,255]})}},
            {Snakepit.binary("a"), {"Buffer", ~s({"type":"Buffer","data":[97]})}}
          ] do
        {:ok, %{"type" => type, "text" => text}} =
          Snakepit.execute("describe", %{value: value}, pool: pool)

        assert {type, text} == expected
      end
    end

    test "values arrive in Elixir as documented", %{pool: pool} do
      assert Snakepit.execute("values", %{}, pool: pool) ==
               {:ok,
                %{
                  "none" => nil,
                  "big" => 2 ** 70,
                  "safe" => 9_007_199_254_740_991,
                  # The one loss: JavaScript does not know 2.0 from 2.
                  "whole" => 2,
                  "nan" => :nan,
                  "inf" => :infinity,
                  "neg_inf" => :neg_infinity,
                  "str" => "grüße",
                  "bytes" => <<0, 255>>,
                  "typed" => {:array, {1}, :f64, <<0.5::float-little>>},
                  "map" => %{1 => "one"},
                  "date" => "1970-01-01T00:00:00.000Z"
                }}

      assert Snakepit.execute("plain", %{}, pool: pool) == {:ok, %{"result" => 7}}
    end

    test "large binaries come back as they were", %{pool: pool} do
      data = :crypto.strong_rand_bytes(3_000_000)
      args = %{data: Snakepit.binary(data), list: Enum.to_list(1..1000)}

      assert {:ok, %{"data" => ^data, "list" => list}} =
               Snakepit.execute("echo", args, pool: pool)

      assert list == Enum.to_list(1..1000)
    end

    test "the built-in commands are those of Python", %{pool: pool} do
      pong = %{"status" => "ok", "message" => "pong"}
      assert Snakepit.execute("ping", %{}, pool: pool) == {:ok, pong}
      args = %{operation: "multiply", a: 6, b: 7}
      assert Snakepit.execute("compute", args, pool: pool) == {:ok, %{"result" => 42}}
      args = %{operation: "divide", a: 1, b: 0}

      assert {:error, %Error{kind: :python, message: "division by zero"}} =
               Snakepit.execute("compute", args, pool: pool)
    end

    test "a handler knows its call", %{pool: pool} do
      opts = [pool: pool, request_id: "r-1", metadata: %{"user" => "ü"}, timeout: 5_000]

      assert {:ok, %{"request" => "r-1", "metadata" => %{"user" => "ü"}, "remaining" => left}} =
               Snakepit.execute("about", %{}, opts)

      assert left > 0 and left <= 5_000
    end

    test "errors are typed, with the class, the message and the stack", %{pool: pool} do
      assert {:error, %Error{kind: :python, python_type: "Rejected", message: "no"} = error} =
               Snakepit.execute("reject", %{reason: "no"}, pool: pool)

      assert error.retryable?
      assert error.traceback =~ ~r/\ARejected: no\n    at .*handlers\.js:\d+/
      assert error.traceback =~ "Caused by: TypeError: the cause"
      refute error.traceback =~ "priv/js/src"

      for {command, args, kind, message} <- [
            {"reject", %{reason: "argument"}, :invalid_arguments, ~r/argument 'reason'/},
            {"nubmers", %{}, :unknown_command, ~r/did you mean 'numbers'/},
            {"numbers", %{}, :invalid_arguments, ~r/call it with execute_stream/},
            {"unsendable", %{}, :encoding, ~r/result\.layers\[1\]\.weights: a function cannot/}
          ] do
        assert {:error, %Error{kind: ^kind, message: text}} =
                 Snakepit.execute(command, args, pool: pool)

        assert text =~ message
      end

      assert {:error, :session_not_found} = Snakepit.execute("count", %{}, pool: pool)
    end

    test "a deadline ends the call and has the handler clean up",
         %{pool: pool, beacon: beacon} do
      opts = [pool: pool, timeout: 100]
      assert {:error, :worker_timeout} = Snakepit.execute("wait", %{port: beacon.port}, opts)
      Beacon.await(beacon, "ended, cancelled: true")
      await_free(pool)
    end

    test "what is said on the console is logged with its level and its call", %{pool: pool} do
      LogTap.attach()
      {:ok, _nothing} = Snakepit.execute("say", %{}, pool: pool, request_id: "r-2")
      assert_receive {:log, "an error on the console", %{level: :error, request_id: "r-2"}}, 5_000
      assert_receive {:log, "plain text", %{level: :info, worker_id: worker}}, 5_000
      assert worker =~ Atom.to_string(pool)
    end

    test "a session keeps its object, until it is deleted", %{pool: pool, beacon: beacon} do
      session = "session #{System.unique_integer([:positive])}"

      count = fn ->
        Snakepit.execute_in_session(session, "count", %{port: beacon.port}, pool: pool)
      end

      assert count.() == {:ok, %{"calls" => 1}}
      assert count.() == {:ok, %{"calls" => 2}}
      :ok = Snakepit.Session.delete(session, pool: pool)
      Beacon.await(beacon, "#{session} ended after 2")
      assert count.() == {:ok, %{"calls" => 1}}
    end
  end

  describe "streams" do
    test "come in order, with one final chunk", %{pool: pool} do
      chunks = "numbers" |> Snakepit.stream!(%{count: 2_000}, pool: pool) |> Enum.to_list()
      assert Enum.map(chunks, & &1["n"]) == Enum.to_list(1..2_000)
      assert Enum.map(chunks, & &1["is_final"]) == List.duplicate(false, 1_999) ++ [true]
    end

    test "an error midway is the last chunk and the result", %{pool: pool} do
      test = self()

      assert {:error, %Error{kind: :python, python_type: "RangeError", message: "no more"}} =
               Snakepit.execute_stream("breaks", %{}, &send(test, &1), pool: pool)

      assert_received %{"n" => 1, "is_final" => false}
      assert_received %{"error" => "no more", "is_final" => true}
    end

    for command <- ["producer", "sync_producer"] do
      @command command

      test "#{command}: stands still while the consumer does",
           %{pool: pool, key: key, beacon: beacon} do
        for window <- [1, 3, 64] do
          key = "#{key} #{window}"

          callback = fn %{"n" => n} ->
            # One window is on its way, and the next chunk waits at the generator's yield.
            if n == 0, do: stands_still_at(pool, key, window + 1)
            assert made(pool, key) - (n + 1) <= window
            if n == 3 * window, do: :halt
          end

          args = %{key: key, port: beacon.port}
          opts = [pool: pool, window: window]
          assert :ok = Snakepit.execute_stream(@command, args, callback, opts)
          Beacon.await(beacon, "closed")
        end
      end
    end

    test "bytes hold it up as chunks do", %{pool: pool, key: key} do
      args = %{key: key, size: 100_000}
      opts = [pool: pool, window: 100, max_buffer: 250_000]
      {:ok, %{ref: ref} = stream} = Snakepit.start_stream("producer", args, opts)
      stands_still_at(pool, key, 4)
      for n <- 0..2, do: assert_receive({:snakepit, ^ref, {:chunk, %{"n" => ^n}}}, 5_000)
      Snakepit.ack(stream, 3)
      stands_still_at(pool, key, 7)
      Snakepit.cancel(stream)
      await_free(pool)
    end

    for command <- ["producer", "sync_producer", "naps"] do
      @command command

      test "#{command}: cleans up at once when nobody wants more",
           %{pool: pool, key: key, beacon: beacon} do
        figures =
          for _run <- 1..@runs do
            args = %{key: key, port: beacon.port}
            {:ok, %{ref: ref} = stream} = Snakepit.start_stream(@command, args, pool: pool)
            assert_receive {:snakepit, ^ref, {:chunk, %{"n" => 0}}}, 5_000
            since = System.monotonic_time(:millisecond)
            Snakepit.cancel(stream)
            Beacon.await(beacon, "closed")
            System.monotonic_time(:millisecond) - since
          end

        # What the machine is busy with besides comes on top: the quickest counts.
        assert Enum.min(figures) <= @within_ms
        await_free(pool)
      end
    end

    test "chunks in, one result out", %{pool: pool} do
      chunks = Stream.map(1..5_000, &%{n: &1})
      opts = [pool: pool, window: 8]

      assert Snakepit.execute_client_stream("sum", %{start: 1}, chunks, opts) ==
               {:ok, %{"sum" => 12_502_501}}
    end

    test "what produces the chunks is held up by a handler that does not take them",
         %{pool: pool, beacon: beacon} do
      taken = :counters.new(1, [])
      chunks = Stream.repeatedly(fn -> :counters.add(taken, 1, 1) && %{n: 1} end)
      args = %{port: beacon.port}

      task =
        Task.async(fn ->
          opts = [pool: pool, window: 4, timeout: 500]
          Snakepit.execute_client_stream("holds", args, chunks, opts)
        end)

      Beacon.await(beacon, "holding")
      assert Task.await(task) == {:error, :worker_timeout}
      # The one that was taken, a window, and the one that waits.
      assert :counters.get(taken, 1) <= 6
      await_free(pool)
    end

    test "chunks in both directions, in a session", %{pool: pool} do
      test = self()
      chunks = Stream.map(1..500, &%{n: &1})
      opts = [pool: pool, session_id: "both ways", window: 3]

      assert :ok =
               Snakepit.execute_bidi_stream("double", %{}, chunks, &send(test, {:got, &1}), opts)

      for n <- 1..500 do
        double = 2 * n
        assert_received {:got, %{"n" => ^double, "session" => "both ways"}}
      end

      assert_received {:got, %{"done" => true, "is_final" => true}}
    end

    test "an input that fails is the caller's own error", %{pool: pool} do
      chunks = Stream.map(1..10, fn n -> if n == 3, do: raise("no third"), else: %{n: n} end)

      assert_raise RuntimeError, "no third", fn ->
        Snakepit.execute_client_stream("sum", %{}, chunks, pool: pool)
      end

      await_free(pool)
    end
  end

  describe "processes" do
    test "lead a group of their own, and say what they are" do
      pool = start_pool(pool_size: 2)

      for %{pid: pid, os_pid: os_pid, transport: "javascript"} <- Snakepit.list_workers(pool) do
        assert group(os_pid) == os_pid
        assert {:ok, health} = GRPCWorker.get_health(pid)
        assert %{"lane" => false, "credit" => true, "codecs" => ["json", "msgpack"]} = health
        assert "numbers" in health["commands"]
      end
    end

    defp group(os_pid) do
      {group, 0} = System.cmd("ps", ["-o", "pgid=", "-p", "#{os_pid}"])
      group |> String.trim() |> String.to_integer()
    end

    test "over TCP too, with a token" do
      pool = start_pool(base_port: 43_600)
      assert [%{address: "http://127.0.0.1:43" <> _port}] = Snakepit.list_workers(pool)
      assert {:ok, %{"result" => 7}} = Snakepit.execute("plain", %{}, pool: pool)
    end

    for {command, how} <- [{"leave", "process.exit"}, {"kill", "a signal"}] do
      @command command

      test "that end by #{how} fail their calls, and are replaced" do
        pool = start_pool()
        before = os_pid(pool)
        assert {:error, :worker_exited} = Snakepit.execute(@command, %{}, pool: pool)
        eventually(fn -> restarted?(pool, before) end)
        assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
      end
    end

    test "that end in the middle of a stream fail it after its chunks" do
      pool = start_pool()
      test = self()
      callback = &send(test, {:got, &1["n"]})
      opts = [pool: pool, window: 1]
      assert {:error, :worker_exited} = Snakepit.execute_stream("dies", %{}, callback, opts)
      assert_received {:got, 1}
    end

    test "end with an exception that nobody catches, and say which" do
      LogTap.attach()
      pool = start_pool()
      before = os_pid(pool)
      _any = Snakepit.execute("throw_outside", %{}, pool: pool)
      assert_receive {:log, "Error: outside of any call", %{level: :info}}, 5_000
      eventually(fn -> restarted?(pool, before) end)
    end

    test "are replaced when a handler goes on after its cancellation", %{beacon: beacon} do
      LogTap.attach()
      pool = start_pool(cancel_grace_ms: 100)
      before = os_pid(pool)
      [%{pid: worker}] = Snakepit.list_workers(pool)
      test = self()

      spawn_link(fn ->
        opts = [pool: pool, timeout: 500]
        send(test, {:answer, Snakepit.execute("spin", %{port: beacon.port}, opts)})
      end)

      Beacon.await(beacon, "spinning")

      # Its thread is the server's own: a handler that never returns does not keep it from answering.
      assert {:ok, %{"active_requests" => 1}} = GRPCWorker.get_health(worker)
      assert_receive {:answer, {:error, :worker_timeout}}, 5_000
      assert_receive {:log, "snakepit: spin went on for 100 ms after its " <> _rest, _}, 5_000
      eventually(fn -> restarted?(pool, before) end)
    end

    test "run their hooks at the end" do
      LogTap.attach()
      {:ok, pool} = Snakepit.Pool.start_link(pool_options())
      assert_receive {:log, "the hooks begin", %{level: :info}}, 5_000
      [%{os_pid: os_pid}] = Snakepit.list_workers(:javascript_hooks)
      Supervisor.stop(pool)
      assert_receive {:log, "the hooks end", %{level: :warning}}, 5_000
      eventually(fn -> not OsProcess.alive?(os_pid) end, 5_000)
    end

    defp pool_options do
      [name: :javascript_hooks, adapter: GRPCJavaScript, pool_size: 1, javascript: @hooks]
    end

    test "end with their VM, when it is killed, and their children with them" do
      options = [adapter: GRPCJavaScript, javascript: @handlers, pool_size: 2]
      vm = OtherVM.start(options)
      {os_pids, directory} = OtherVM.await_pool(vm)
      assert length(os_pids) == 6
      OtherVM.signal(vm, "KILL")
      OsProcess.await_ends([vm.os_pid | os_pids])
      refute File.exists?(directory)
    end

    test "that cannot start say why" do
      for {javascript, message} <- [
            {[modules: ["nowhere.js"]], ~r/cannot find the module nowhere\.js/},
            {[executable: "no-such-node"],
             ~r/javascript: \[executable: "no-such-node"\] names a program that does not exist/}
          ] do
        options = [adapter: GRPCJavaScript, javascript: Keyword.merge(@handlers, javascript)]
        assert {:error, reason} = PoolHelper.try_pool(options)
        assert inspect(reason, printable_limit: :infinity) |> String.replace("\\", "") =~ message
      end
    end
  end
end
