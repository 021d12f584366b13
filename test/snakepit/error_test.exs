defmodule Snakepit.ErrorTest do
  use ExUnit.Case, async: true

  alias Snakepit.Error

  doctest Snakepit.Error

  test "every condition is a sentence" do
    for condition <- Error.conditions() do
      assert Error.message(condition) =~ ~r/^[A-Z].*\.$/s
    end
  end

  test "a condition can be raised" do
    error = assert_raise Error, fn -> raise Error, :pool_saturated end
    assert error.kind == :pool_saturated
    assert error.retryable?
    assert Exception.message(error) == Error.message(:pool_saturated)
  end

  test "a Python error says what was raised where" do
    error = %Error{
      kind: :python,
      command: "train",
      python_type: "ValueError",
      message: "no epochs",
      traceback: "  File \"train.py\", line 3"
    }

    assert Exception.message(error) ==
             "The command \"train\" raised ValueError: no epochs\n\n  File \"train.py\", line 3"
  end

  test "an error can be raised as it was returned" do
    error = %Error{kind: :encoding, message: "args.pid: a pid cannot be sent"}
    assert_raise Error, "args.pid: a pid cannot be sent", fn -> raise Error, error end
  end

  test "an error without a message still has one" do
    assert Error.message(%Error{kind: :protocol, command: "x"}) ==
             ~S[The command "x" failed (:protocol).]
  end
end
