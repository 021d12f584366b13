defmodule Snakepit.RequestTest do
  use ExUnit.Case, async: true

  alias Snakepit.{Error, Request}

  test "options are a keyword list, a timeout or :infinity" do
    assert {:ok, %{timeout: nil, pool: :default}} = Request.new("c", %{}, [])
    assert {:ok, %{timeout: 5}} = Request.new("c", %{}, 5)
    assert {:ok, %{timeout: :infinity}} = Request.new("c", %{}, :infinity)
    assert {:ok, %{timeout: 7, pool: :other}} = Request.new("c", %{}, timeout: 7, pool: :other)
  end

  test "a session can be added to both forms" do
    assert Request.in_session([timeout: 1], "s") == [session_id: "s", timeout: 1]
    assert Request.in_session(1, "s") == [timeout: 1, session_id: "s"]
  end

  test "metadata becomes a map of strings" do
    assert {:ok, %{metadata: %{"a" => "1"}}} = Request.new("c", %{}, metadata: %{a: "1"})

    assert_raise ArgumentError, ~r/:metadata expected a map of strings/, fn ->
      Request.new("c", %{}, metadata: %{a: 1})
    end
  end

  test "wrong options raise" do
    for {opts, message} <- [
          {[timout: 1], ~r/unknown option :timout, did you mean :timeout\?/},
          {[timeout: -1], ~r/:timeout expected a number of milliseconds or :infinity, got -1/},
          {[timeout: "1"], ~r/got "1"/},
          {[timeout: 3_000_000_000], ~r/expected a number of milliseconds/},
          {[window: 0], ~r/:window expected a positive integer/},
          {-1, ~r/:timeout expected/},
          {:forever, ~r/expected options, a timeout in milliseconds or :infinity, got :forever/},
          {%{timeout: 1}, ~r/expected options, a timeout/},
          {[1], ~r/expected a keyword list, got the element 1/}
        ] do
      assert_raise ArgumentError, message, fn -> Request.new("c", %{}, opts) end
    end
  end

  test "arguments that are no map are an error, not an exception" do
    for args <- [nil, [a: 1], "args", 1, ~D[2026-01-01], &is_map/1] do
      assert {:error, %Error{kind: :invalid_arguments, command: "c"}} = Request.new("c", args, [])
    end
  end

  test "a command that is no string is an error" do
    assert {:error, %Error{kind: :invalid_arguments}} = Request.new(:ping, %{}, [])
  end

  test "time runs from the making of the request" do
    {:ok, request} = Request.new("c", %{}, 1_000)
    assert Request.remaining(request) in 1..1_000
    assert Request.remaining(%{request | started_at: request.started_at - 2_000}) == 0
    assert Request.remaining(%{request | timeout: :infinity}) == :infinity
  end
end
