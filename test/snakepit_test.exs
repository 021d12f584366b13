defmodule SnakepitTest do
  use ExUnit.Case, async: true

  test "without a pool there is an error" do
    for call <- [
          fn opts -> Snakepit.execute("ping", %{}, opts) end,
          fn opts -> Snakepit.execute_stream("ping_stream", %{}, & &1, opts) end,
          fn opts -> Snakepit.execute_in_session("s", "ping", %{}, opts) end,
          fn opts -> Snakepit.start_stream("ping_stream", %{}, opts) end
        ] do
      assert call.(pool: :no_such_pool) == {:error, :pool_not_found}
    end

    assert Snakepit.list_workers(:no_such_pool) == {:error, :pool_not_found}
    assert Snakepit.get_stats(:no_such_pool) == {:error, :pool_not_found}
    assert Snakepit.await_ready(:no_such_pool, 10) == {:error, :pool_not_found}

    assert_raise Snakepit.Error, ~r/No pool runs under this name/, fn ->
      "ping_stream" |> Snakepit.stream!(%{}, pool: :no_such_pool) |> Enum.to_list()
    end
  end
end
