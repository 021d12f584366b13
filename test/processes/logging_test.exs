defmodule Snakepit.LoggingTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Test.LogTap

  @moduletag :capture_log

  setup_all do
    name = unique_name()
    options = pool_options(name, python: [modules: ["test_handlers", "logging_handlers"]])
    start_supervised!({Snakepit.Pool, options})
    [%{id: id}] = Snakepit.list_workers(name)
    %{pool: name, id: id}
  end

  setup do: LogTap.attach()

  defp log(pool, args, opts \\ []),
    do: {:ok, _} = Snakepit.execute("log", args, [pool: pool] ++ opts)

  test "what Python logs has its level, the logger, the worker and the call", %{
    pool: pool,
    id: id
  } do
    for level <- [:info, :warning, :error, :critical] do
      text = "a line at #{level}"
      log(pool, %{level: "#{level}", text: text}, request_id: "req-#{level}")
      assert_receive {:log, ^text, metadata}, 5_000
      assert %{worker_id: ^id, logger: "handlers.log", level: ^level} = metadata
      assert metadata.request_id == "req-#{level}"
    end
  end

  test "what is logged below the level of Python's root logger stays there", %{pool: pool} do
    log(pool, %{level: "debug", text: "too much detail"})
    log(pool, %{level: "info", text: "after the detail"})
    assert_receive {:log, "after the detail", _metadata}, 5_000
    refute_received {:log, "too much detail", _metadata}
  end

  test "an exception comes with its traceback, in one event", %{pool: pool} do
    {:ok, _} = Snakepit.execute("log_exception", %{}, pool: pool)
    assert_receive {:log, "it failed\nTraceback" <> rest, %{level: :error}}, 5_000
    assert rest =~ "ZeroDivisionError"
  end

  test "each async call logs under its own id, whatever they share", %{pool: pool} do
    ids = for n <- 1..5, do: "async-#{n}"

    ids
    |> Enum.map(
      &Task.async(fn ->
        Snakepit.execute("log_async", %{text: &1}, pool: pool, request_id: &1)
      end)
    )
    |> Task.await_many()

    for id <- ids, do: assert_receive({:log, ^id, %{request_id: ^id}}, 5_000)
  end

  test "what a thread of the handler's own logs belongs to no call", %{pool: pool, id: id} do
    {:ok, _} = Snakepit.execute("log_in_thread", %{text: "from a thread"}, pool: pool)
    assert_receive {:log, "from a thread", %{worker_id: ^id} = metadata}, 5_000
    refute is_map_key(metadata, :request_id)
  end

  test "a message of a megabyte is cut, and what comes after it is whole", %{pool: pool} do
    {:ok, _} = Snakepit.execute("log_much", %{size: 1_000_000}, pool: pool)
    log(pool, %{level: "info", text: "after the megabyte"})
    assert_receive {:log, "é" <> _ = message, %{level: :warning}}, 5_000
    assert String.ends_with?(message, "[cut: the message has 1000000 characters]")
    assert String.length(message) < 66_000
    assert_receive {:log, "after the megabyte", _metadata}, 5_000
  end

  test "long messages survive that others print meanwhile", %{pool: pool} do
    {:ok, _} = Snakepit.execute("log_among_prints", %{count: 20, size: 20_000}, pool: pool)

    for n <- 1..20 do
      message = String.duplicate("#{rem(n, 10)}", 20_000)
      assert_receive {:log, ^message, %{level: :warning}}, 5_000
    end
  end

  test "lines of threads that print at the same time stay whole", %{pool: pool} do
    {:ok, _} = Snakepit.execute("print_together", %{threads: 4, lines: 50}, pool: pool)

    for thread <- 0..3, n <- 0..49 do
      line = "thread #{thread} line #{n}"
      assert_receive {:log, ^line, _metadata}, 5_000
    end
  end

  test "stdout and stderr arrive too", %{pool: pool, id: id} do
    {:ok, _} = Snakepit.execute("write_both", %{}, pool: pool)
    assert_receive {:log, "to stdout", %{worker_id: ^id, level: :info}}, 5_000
    assert_receive {:log, "to stderr", %{worker_id: ^id, level: :info}}, 5_000
  end

  test "basicConfig keeps its meaning: the level and the format are the user's" do
    python = [modules: ["test_handlers", "logging_handlers"], env: [LOG_FORMAT: "<%(message)s>"]]
    pool = start_pool(python: python)
    log(pool, %{level: "debug", text: "in detail"})
    assert_receive {:log, "<in detail>", %{level: :debug, logger: "handlers.log"}}, 5_000
  end
end
