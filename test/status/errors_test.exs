defmodule Snakepit.Status.ErrorsTest do
  # The ring is one for all.
  use ExUnit.Case, async: false

  import Snakepit.Test.PoolHelper, only: [start_pool: 0, try_pool: 1]

  alias Snakepit.Error
  alias Snakepit.Status.Errors
  alias Snakepit.Test.Await

  setup do
    %{pool: :"pool_#{System.unique_integer([:positive])}"}
  end

  defp recorded(pool), do: Enum.filter(Errors.list(), &(&1.pool == pool))

  test "an error is kept with all that is known of it", %{pool: pool} do
    known = %{pool: pool, command: "train", worker_id: "w-1", request_id: "r-1"}
    assert Errors.record(Map.put(known, :reason, :worker_timeout)) == :ok

    assert [error] = recorded(pool)
    assert Map.take(error, [:pool, :command, :worker_id, :request_id]) == known
    assert error.kind == :worker_timeout
    assert error.message == Error.message(:worker_timeout)
    assert abs(DateTime.diff(DateTime.utc_now(), error.at, :millisecond)) < 5_000
  end

  test "what the error itself knows fills the gaps", %{pool: pool} do
    reason = %Error{
      kind: :python,
      python_type: "ValueError",
      message: "no such layer",
      traceback: "Traceback (most recent call last): ...",
      command: "train",
      worker_id: "w-2",
      request_id: "r-2"
    }

    Errors.record(%{pool: pool, reason: reason})

    assert [%{command: "train", worker_id: "w-2", request_id: "r-2", kind: :python} = error] =
             recorded(pool)

    assert error.message == "ValueError: no such layer"
  end

  test "arguments are left out", %{pool: pool} do
    {:error, reason} = Snakepit.Request.new("log_in", [password: "secret"], [])
    Errors.record(%{pool: pool, reason: reason})

    message = "argument 'password' must be int, got str 'secret'"
    Errors.record(%{pool: pool, reason: %Error{kind: :invalid_arguments, message: message}})

    assert [%{message: "argument 'password' must be int"}, %{message: about_the_map}] =
             recorded(pool)

    refute about_the_map =~ "secret"
  end

  test "a long message is cut, and one that is no text made one", %{pool: pool} do
    long = String.duplicate("é", 10_000)
    Errors.record(%{pool: pool, reason: %Error{kind: :protocol, message: long}})
    Errors.record(%{pool: pool, reason: %Error{kind: :protocol, message: <<"odd ", 0xFF>>}})

    assert [odd, cut] = recorded(pool)
    assert odd.message == "odd �"
    assert cut.message == String.duplicate("é", 300) <> "…"
  end

  # Whoever tells of an error must not have a second one.
  test "what is no reason of Snakepit is shown as it is", %{pool: pool} do
    for reason <- [:caller_down, {:shutdown, :gone}],
        do: Errors.record(%{pool: pool, reason: reason})

    assert [
             %{kind: :unknown, message: "{:shutdown, :gone}"},
             %{kind: :caller_down, message: ":caller_down"}
           ] =
             recorded(pool)
  end

  test "the last 50 are kept, the latest first", %{pool: pool} do
    for number <- 1..120,
        do: Errors.record(%{pool: pool, request_id: "#{number}", reason: :cancelled})

    assert length(Errors.list()) == 50
    assert Enum.map(recorded(pool), & &1.request_id) == Enum.map(120..71//-1, &to_string/1)
  end

  test "many at once are not lost, and nothing grows", %{pool: pool} do
    1..2_000
    |> Task.async_stream(fn _ -> Errors.record(%{pool: pool, reason: :cancelled}) end,
      max_concurrency: 50
    )
    |> Enum.each(&assert &1 == {:ok, :ok})

    assert length(recorded(pool)) == 50
  end

  @tag :capture_log
  test "a worker that has crashed, or could not start, is among them" do
    pool = start_pool()
    [%{id: id}] = Snakepit.list_workers(pool)
    {:error, :worker_exited} = Snakepit.execute("end_process", %{status: 7}, pool: pool)
    Await.eventually(fn -> Enum.any?(recorded(pool), &(&1.kind == :worker_crashed)) end)
    error = Enum.find(recorded(pool), &(&1.kind == :worker_crashed))
    assert %{worker_id: ^id, message: "The worker ended with status 7."} = error

    {:error, _reason} = try_pool(python: [modules: ["broken_module"]])

    Await.eventually(fn ->
      Enum.any?(Errors.list(), &(&1.message =~ ~r/before it was ready\.$/))
    end)
  end
end
