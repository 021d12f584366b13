defmodule Snakepit.Log.LevelTest do
  # The levels are those of the whole application.
  use ExUnit.Case

  import Snakepit.Test.PoolHelper

  alias Snakepit.Log
  alias Snakepit.Test.{Adapters, AppEnv, LogTap}

  @moduletag :capture_log

  setup :keep_levels
  setup do: LogTap.attach()

  defp keep_levels(_context) do
    on_exit(fn ->
      Log.put_level(:client, :warning)
      Log.configure!()
    end)
  end

  defp log(pool, level, text),
    do: Snakepit.execute("log", %{level: "#{level}", text: text}, pool: pool)

  defp told(text), do: receive(do: ({:log, ^text, metadata} -> metadata), after: (5_000 -> nil))

  # The order travels beside the calls.
  defp until_told(pool, level, text, rounds \\ 200) do
    {:ok, _} = log(pool, level, text)

    receive do
      {:log, ^text, metadata} -> metadata
    after
      25 -> if rounds > 0, do: until_told(pool, level, text, rounds - 1)
    end
  end

  defp until_quiet(pool, level, text, rounds \\ 200) do
    {:ok, _} = log(pool, level, text)
    {:ok, _} = log(pool, :critical, "a mark")
    assert told("a mark")

    receive do
      {:log, ^text, _metadata} when rounds > 0 -> until_quiet(pool, level, text, rounds - 1)
    after
      0 -> :quiet
    end
  end

  for adapter <- Adapters.all(), adapter[:language] != :javascript do
    test "workers that run obey, and those that start later: #{adapter.name}" do
      python = [modules: ["test_handlers", "logging_handlers"]]
      options = [python: python] ++ unquote(adapter.options)
      pool = start_pool(options)

      {:ok, _} = log(pool, :debug, "unheard")
      {:ok, _} = log(pool, :info, "heard")
      assert told("heard")
      refute_received {:log, "unheard", _metadata}

      Log.put_level(:worker, :debug)
      assert %{level: :debug, command: "log"} = until_told(pool, :debug, "in detail")

      later = start_pool(options)
      {:ok, _} = log(later, :debug, "from the first")
      assert told("from the first")

      Log.put_level(:worker, :error)
      assert :quiet = until_quiet(pool, :warning, "a warning")
      assert :quiet = until_quiet(later, :warning, "a warning")
      assert Log.level(:worker) == :error
    end
  end

  test "a worker that is replaced has the level of its predecessor" do
    pool = start_pool(python: [modules: ["test_handlers", "logging_handlers"]])
    Log.put_level(:worker, :debug)
    assert until_told(pool, :debug, "before")
    Snakepit.execute("end_process", %{status: 3}, pool: pool)
    {:ok, _} = log(pool, :debug, "after")
    assert told("after")
  end

  @tag :javascript
  test "JavaScript workers obey too" do
    options = [
      adapter: Snakepit.Adapters.GRPCJavaScript,
      javascript: [path: ["test/support/javascript"], modules: ["handlers.js"]]
    ]

    pool = start_pool(options)
    say = &Snakepit.execute("talk", %{level: &1, text: &2}, pool: pool)
    {:ok, _} = say.("debug", "in detail")
    assert %{command: "talk", level: :debug} = told("in detail")

    Log.put_level(:worker, :warning)

    Enum.find(1..200, fn n ->
      {:ok, _} = say.("info", "round #{n}")
      {:ok, _} = say.("error", "mark #{n}")
      assert told("mark #{n}")
      not_told?("round #{n}")
    end) || flunk("it never obeyed")

    later = start_pool(options)
    {:ok, _} = Snakepit.execute("talk", %{level: "info", text: "unheard"}, pool: later)
    {:ok, _} = Snakepit.execute("talk", %{level: "warn", text: "heard"}, pool: later)
    assert told("heard")
    refute_received {:log, "unheard", _metadata}
  end

  defp not_told?(text), do: receive(do: ({:log, ^text, _metadata} -> false), after: (0 -> true))

  test "the native side of a worker tells what it does, with the call" do
    pool = start_pool()
    {:ok, _} = Snakepit.execute("ping", %{}, pool: pool)
    Log.put_level(:worker, :trace)

    Enum.find(1..200, fn n ->
      {:ok, _} = Snakepit.execute("ping", %{}, pool: pool, request_id: "r-#{n}")

      receive do
        {:log, "a call has come in", metadata} ->
          assert %{level: :debug, command: "ping", logger: "snakepit", worker_id: id} = metadata
          assert "r-" <> _ = metadata.request_id
          assert [%{id: ^id}] = Snakepit.list_workers(pool)
      after
        25 -> nil
      end
    end) || flunk("it never told")
  end

  test "the native client is quiet, and tells all when it is asked" do
    pool = start_pool()
    {:ok, _} = Snakepit.execute("ping", %{}, pool: pool, request_id: "unheard")
    Log.put_level(:client, :trace)
    {:ok, _} = Snakepit.execute("ping", %{}, pool: pool, request_id: "heard")
    assert %{request_id: "heard", command: "ping", source: :client} = told("the call begins")

    Log.put_level(:client, :warning)
    {:ok, _} = Snakepit.execute("ping", %{}, pool: pool, request_id: "unheard")
    Log.put_level(:client, :trace)
    {:ok, _} = Snakepit.execute("ping", %{}, pool: pool, request_id: "again")
    assert %{request_id: "again"} = told("the call begins")
  end

  test "the connection of a worker that dies is lost, and its successor's is another" do
    Log.put_level(:client, :debug)
    pool = start_pool(python: [modules: ["test_handlers"]])
    assert told("connected to the worker")
    Snakepit.execute("end_process", %{status: 3}, pool: pool, request_id: "last")
    assert_receive {:log, "the connection to the worker is lost" <> _, %{worker_id: id}}, 5_000
    assert "pool_" <> _ = id

    assert_receive {:log, "the call failed: worker_exited", %{request_id: "last"}}, 5_000
    assert told("connected to the worker")
  end

  test "a wrong level is no level" do
    assert_raise FunctionClauseError, fn -> Log.put_level(:worker, :loud) end
    assert_raise FunctionClauseError, fn -> Log.put_level(:elixir, :debug) end
  end

  describe "the application environment" do
    setup {AppEnv, :keep}

    test "has the levels to begin with" do
      Application.put_env(:snakepit, :log, client: :error, worker: :debug)
      Log.configure!()
      assert {Log.level(:client), Log.level(:worker)} == {:error, :debug}
      refute Log.arguments?()
    end

    test "is checked" do
      for wrong <- [[client: :loud], [workers: :debug], [arguments: 1], 7] do
        Application.put_env(:snakepit, :log, wrong)
        assert_raise ArgumentError, fn -> Log.configure!() end
      end

      Application.delete_env(:snakepit, :log)
    end
  end
end
