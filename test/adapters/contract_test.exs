defmodule Snakepit.Adapters.ContractTest do
  # One suite over every kind of worker. The table in the guide is made of the same points.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Test.{Adapters, Contract}

  @moduletag :capture_log

  for adapter <- Adapters.all() do
    describe adapter.name do
      @adapter adapter
      for tag <- Map.get(adapter, :tags, []), do: @describetag(tag)

      for {point, title} <- Contract.points() do
        @point point
        @text with text when is_binary(text) <- Contract.difference(point, adapter),
                   do: "#{title} (#{text})",
                   else: (nil -> title)

        test @text do
          options = Contract.pool_options(@adapter)
          pool = start_pool([max_concurrent_streams: 4, max_message_size: 8_000_000] ++ options)
          Contract.check(@point, %{pool: pool, adapter: @adapter})
        end
      end
    end
  end

  test "the guide has the table of this suite" do
    guide = File.read!("guides/adapters.md")

    assert guide =~ Contract.table(Adapters.all()),
           "guides/adapters.md is not up to date: run scripts/contract-table"
  end
end
