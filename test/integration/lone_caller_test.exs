defmodule Snakepit.LoneCallerTest do
  # One process that calls a handler that takes about nothing, again and again: it gets most of its
  # answers before its call returns, and must not notice.
  use ExUnit.Case, async: true

  import Snakepit.Test.Await, only: [await_replaced: 2]
  import Snakepit.Test.OS
  import Snakepit.Test.PoolHelper

  alias Snakepit.Error
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  setup do
    %{pool: start_pool()}
  end

  # More than it takes until callers look for their answers.
  defp call_often(pool) do
    for n <- 1..300, do: assert(Snakepit.execute("typed", %{n: n}, pool: pool) == typed(n))
  end

  defp typed(n), do: {:ok, %{"n" => n, "flag" => false}}

  test "has the answer to each call, errors too, and no message", %{pool: pool} do
    for n <- 1..1_000 do
      if rem(n, 10) == 0 do
        args = %{message: "no #{n}"}
        opts = [pool: pool, request_id: "r#{n}"]
        assert {:error, %Error{} = error} = Snakepit.execute("raise_error", args, opts)
        assert {error.message, error.request_id} == {"no #{n}", "r#{n}"}
      else
        assert Snakepit.execute("typed", %{n: n}, pool: pool) == typed(n)
      end
    end

    refute_received _anything
  end

  test "has large answers too", %{pool: pool} do
    for n <- 1..200 do
      size = if rem(n, 20) == 0, do: 50_000, else: 1
      assert {:ok, %{"rows" => rows}} = Snakepit.execute("give_rows", %{n: size}, pool: pool)
      assert length(rows) == size
    end
  end

  test "is told of the end of a call that takes long for once", %{pool: pool} do
    call_often(pool)
    beacon = Beacon.open()
    opts = [pool: pool, timeout: 100]
    args = %{beacon: beacon.port}
    assert Snakepit.execute("hold_async", args, opts) == {:error, :worker_timeout}
    Beacon.await(beacon, "closed")
    refute_received {_ref, _late_answer}
    call_often(pool)
  end

  test "has answers beside others who call", %{pool: pool} do
    call_often(pool)
    others = for _ <- 1..4, do: Task.async(fn -> call_often(pool) end)
    call_often(pool)
    Task.await_many(others)
    call_often(pool)
  end

  test "has answers beside a stream", %{pool: pool} do
    call_often(pool)

    stream = Snakepit.stream!("count", %{n: 20_000}, pool: pool)
    other = Task.async(fn -> Enum.count(stream) end)

    call_often(pool)
    assert Task.await(other) >= 20_000
    call_often(pool)
  end

  test "hears of the end of the worker, and calls the next", %{pool: pool} do
    call_often(pool)
    assert Snakepit.execute("end_process", %{status: 1}, pool: pool) == {:error, :worker_exited}
    call_often(pool)
    [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
    signal(os_pid, "KILL")
    await_replaced(pool, os_pid)
    call_often(pool)
  end
end
