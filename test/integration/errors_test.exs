defmodule Snakepit.ErrorsTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Error

  setup_all do
    %{pool: start_pool(max_message_size: 1_000_000)}
  end

  # After every error the worker must go on working.
  setup %{pool: pool} do
    on_exit(fn ->
      # In another process, after the test.
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
      assert %{busy_slots: 0, restarts: 0} = Snakepit.get_stats(pool)
    end)
  end

  defp error(command, args, pool) do
    assert {:error, %Error{} = error} = Snakepit.execute(command, args, pool: pool)
    assert error.command == command
    assert error.worker_id =~ "pool_"
    assert is_binary(error.request_id)
    assert is_binary(Exception.message(error))
    error
  end

  test "an unknown command names what is close", %{pool: pool} do
    error = error("pong", %{}, pool)
    assert error.kind == :unknown_command
    assert error.message =~ "ping"
  end

  test "an unknown command of a stream", %{pool: pool} do
    assert {:error, %Error{kind: :unknown_command}} =
             Snakepit.execute_stream("nothing_like_it", %{}, & &1, pool: pool)
  end

  test "a missing argument is named", %{pool: pool} do
    error = error("typed", %{}, pool)
    assert error.kind == :invalid_arguments
    assert error.message =~ "n"
  end

  test "an unknown argument is named", %{pool: pool} do
    error = error("typed", %{n: 1, flog: true}, pool)
    assert error.kind == :invalid_arguments
    assert error.message =~ "flog"
  end

  test "an argument of the wrong type is named", %{pool: pool} do
    error = error("typed", %{n: "one"}, pool)
    assert error.kind == :invalid_arguments
    assert error.message =~ "n"
    assert error.message =~ "int"
  end

  test "what a handler raises comes with its type and traceback", %{pool: pool} do
    error = error("raise_error", %{message: "no such model"}, pool)
    assert %{kind: :python, python_type: "ValueError", message: "no such model"} = error
    assert error.traceback =~ "test_handlers.py"
    assert error.traceback =~ "raise ValueError(message)"
    assert Exception.message(error) =~ "raised ValueError: no such model"
  end

  test "the traceback begins at the handler", %{pool: pool} do
    error = error("raise_deep", %{}, pool)
    assert %{python_type: "KeyError", traceback: traceback} = error
    assert traceback =~ "raise_deep"
    assert traceback =~ "helper"
    refute traceback =~ "_dispatcher.py"
  end

  test "a request over the limit", %{pool: pool} do
    args = %{data: :binary.copy(<<0>>, 2_000_000)}
    assert error("echo", args, pool).kind == :too_large
  end

  test "a result over the limit", %{pool: pool} do
    assert error("give_bytes", %{size: 2_000_000}, pool).kind == :too_large
  end

  test "a stream of a unary command and the other way round", %{pool: pool} do
    assert {:error, %Error{}} = Snakepit.execute_stream("ping", %{}, fn _ -> :ok end, pool: pool)
    assert {:error, %Error{}} = Snakepit.execute("count", %{n: 1}, pool: pool)
  end
end
