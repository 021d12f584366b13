defmodule Snakepit.ArrayMemoryTest do
  # What the worker needs for an array of 100 MB beside the array. The peak of a process never falls, so
  # each test has a worker of its own.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  @moduletag skip: not match?({:unix, :linux}, :os.type())

  @count 25_000_000
  @mb 4 * @count / 1_048_576

  # The message that the array, which its owner may change, is packed into; or the bytes that were
  # received, which the array is a view of. One more copy would be a second.
  @most 1.4 * @mb

  setup do
    %{pool: start_pool(python: [modules: ["array_handlers"]])}
  end

  defp run(pool, command, args \\ %{}) do
    {:ok, result} = Snakepit.execute(command, args, pool: pool)
    result
  end

  test "from Python an array is not copied before it is packed", %{pool: pool} do
    %{"mb" => before} = run(pool, "hold_array", %{count: @count})
    assert %{"value" => {:array, {@count}, :f32, data}} = run(pool, "give_held_array")
    assert <<1.0::float-32-little, _rest::binary>> = data
    assert run(pool, "peak")["mb"] - before < @most
  end

  test "to Python an array is a view of what was received", %{pool: pool} do
    # So that numpy is there.
    assert run(pool, "total", %{array: {:array, {1}, :u8, <<7>>}}) == %{"total" => 7.0}
    %{"mb" => before} = run(pool, "peak")
    array = {:array, {@count}, :f32, :binary.copy(<<1.0::float-32-little>>, @count)}
    assert run(pool, "total", %{array: array}) == %{"total" => @count / 1}
    assert run(pool, "peak")["mb"] - before < @most
  end
end
