defmodule Snakepit.Adapters.BadFramesTest do
  # Whatever a program writes into its pipe: a typed error within the deadline, and a worker that
  # serves the next call.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_busy: 2]
  import Snakepit.Test.PoolHelper

  alias Snakepit.Error
  alias Snakepit.Test.{LogTap, PipeAdapter, StrayAdapter}

  @moduletag :capture_log

  defp start(options \\ []), do: start_pool([adapter: PipeAdapter] ++ options)

  defp os_pid(pool) do
    {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("os_pid", %{}, pool: pool)
    os_pid
  end

  for {command, args, text} <- [
        {"print", %{text: "Loading the model\n"}, ~S("Loading the model\n)},
        {"print", %{text: "\n\n\n\n\n\n"}, ~S("\n\n\n\n)},
        {"garbage_body", %{}, ~S("success)},
        {"not_utf8", %{}, "cannot be read"},
        {"list_frame", %{}, "where only frames may stand"},
        {"no_id", %{}, "without an id"},
        {"huge_header", %{}, "where only frames may stand"},
        {"zero_header", %{}, "where only frames may stand"}
      ] do
    test "#{command} #{inspect(args)} is a protocol error that shows it; the worker is replaced" do
      pool = start()
      before = os_pid(pool)

      assert {:error, %Error{kind: :protocol, message: message} = error} =
               Snakepit.execute(unquote(command), unquote(Macro.escape(args)), pool: pool)

      assert message =~ unquote(text)
      assert message =~ "replaced"
      assert error.command == unquote(command)
      assert os_pid(pool) != before
      assert %{restarts: 1, busy_slots: 0} = Snakepit.get_stats(pool)
    end
  end

  test "everybody who waits for such a worker is told" do
    pool = start(health: [interval: 60_000])
    # One request at a time: the others wait in the pipe.
    held = Task.async(fn -> Snakepit.execute("sleep", %{ms: 200}, pool: pool) end)
    await_busy(pool, 1)
    stray = Task.async(fn -> Snakepit.execute("print", %{text: "oh no\n"}, pool: pool) end)
    await_busy(pool, 2)
    last = Task.async(fn -> Snakepit.execute("ping", %{}, pool: pool) end)
    await_busy(pool, 3)
    assert {:ok, _slept} = Task.await(held)
    assert {:error, %Error{kind: :protocol}} = Task.await(stray)
    assert {:error, %Error{kind: :protocol, message: message}} = Task.await(last)
    assert message =~ "oh no"
  end

  test "a frame that ends in the middle, with the process" do
    pool = start()
    assert Snakepit.execute("truncated", %{}, pool: pool) == {:error, :worker_exited}
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
  end

  test "a reply without success is an error, and no reason to replace anything" do
    pool = start()
    before = os_pid(pool)

    assert {:error, %Error{kind: :protocol, message: message}} =
             Snakepit.execute("no_success", %{}, pool: pool)

    assert message =~ ~s("status" => "fine")
    assert os_pid(pool) == before
  end

  test "a second reply is dropped, and one to nobody is logged once" do
    pool = start()
    before = os_pid(pool)
    assert Snakepit.execute("twice", %{}, pool: pool) == {:ok, %{"n" => 1}}
    LogTap.attach()
    for _ <- 1..2, do: assert({:ok, %{}} = Snakepit.execute("unknown_id", %{}, pool: pool))
    assert os_pid(pool) == before
    [%{id: id}] = Snakepit.list_workers(pool)

    assert_receive {:log, "The worker answered a call that was never made" <> _,
                    %{worker_id: ^id}}

    refute_received {:log, "The worker answered a call that was never made" <> _,
                     %{worker_id: ^id}}
  end

  test "a reply that is too large costs its call alone" do
    pool = start(max_message_size: 100_000)
    before = os_pid(pool)

    assert {:error, %Error{kind: :too_large, message: message}} =
             Snakepit.execute("huge", %{size: 3_000_000}, pool: pool)

    assert message =~ "100000"
    assert {:ok, %{"data" => data}} = Snakepit.execute("huge", %{size: 90_000}, pool: pool)
    assert byte_size(data) == 90_000
    assert os_pid(pool) == before
  end

  test "arguments that are too large are not sent" do
    pool = start(max_message_size: 10_000)
    args = %{data: :binary.copy("x", 20_000)}

    assert {:error, %Error{kind: :too_large, message: message}} =
             Snakepit.execute("echo", args, pool: pool)

    assert message =~ "10000"
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
  end

  test "a program that prints before its first frame does not start, and its text is named" do
    assert {:error, {{:shutdown, {:failed_to_start_child, _gate, error}}, _child}} =
             try_pool(adapter: StrayAdapter)

    assert %Error{kind: :worker_crashed, message: message} = error
    assert message =~ "Loading the model, please wait"
    assert message =~ "print"
    assert message =~ "standard error"
  end

  test "bad frames again and again do not stop the pool" do
    pool = start(pool_size: 2)

    for _ <- 1..4 do
      assert {:error, _} = Snakepit.execute("print", %{text: "x" <> "\n"}, pool: pool)
    end

    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
  end
end
