defmodule Snakepit.Log.CancelledTest do
  # A worker tells when a cancelled handler has ended.
  use ExUnit.Case

  import Snakepit.Test.PoolHelper

  alias Snakepit.Telemetry
  alias Snakepit.Test.Adapters

  @moduletag :capture_log

  # What the processes of workers pass on is watched where they do.
  setup do
    Code.ensure_loaded!(Telemetry)
    :erlang.trace_pattern({Telemetry, :cancelled, 3}, true, [:global])
    :ok
  end

  defp pool(%{language: :javascript, options: options}) do
    javascript = [path: ["test/support/javascript"], modules: ["handlers.js"]]
    start_pool([javascript: javascript] ++ options)
  end

  defp pool(%{options: options}),
    do: start_pool([python: [modules: ["test_handlers", "cancel_handlers"]]] ++ options)

  defp watch(pool) do
    [%{pid: worker, id: id}] = Snakepit.list_workers(pool)
    :erlang.trace(worker, true, [:call])
    id
  end

  defp await_told(id) do
    assert_receive {:trace, _worker, :call,
                    {Telemetry, :cancelled, [%{request_id: ^id} = call, nil, time]}},
                   5_000

    {call, System.convert_time_unit(time, :native, :millisecond)}
  end

  for adapter <- Adapters.all(), adapter[:language] != :javascript do
    @adapter adapter
    test "by its handler's end: #{adapter.name}" do
      pool = pool(@adapter)
      id = watch(pool)

      for command <- ~w(spins looks waits) do
        options = [pool: pool, request_id: "the \"#{command}\"", timeout: 500]
        assert {:error, :worker_timeout} = Snakepit.execute(command, %{}, options)
        {call, ms} = await_told("the \"#{command}\"")
        assert %{pool: ^pool, worker_id: ^id, command: ^command} = call
        assert ms in 0..2_000
        assert call.how == if(command == "looks", do: "yield", else: "raised")
      end

      # Neither what ends by itself ...
      assert {:ok, _} = Snakepit.execute("ping", %{}, pool: pool)

      # ... nor what never began.
      if @adapter.streams do
        options = [pool: pool, request_id: "counting"]
        assert :ok = Snakepit.execute_stream("counts", %{}, fn _chunk -> :halt end, options)
        {call, ms} = await_told("counting")
        assert call.command == "counts"
        assert ms in 0..1_000
      end

      refute_received {:trace, _worker, :call, _told}
    end
  end

  @tag :javascript
  test "by its handler's end: JavaScript" do
    adapter = Enum.find(Adapters.all(), &(&1[:language] == :javascript))
    pool = pool(adapter)
    watch(pool)
    beacon = Snakepit.Test.Beacon.open()
    options = [pool: pool, request_id: "waiting", timeout: 200]
    assert {:error, _} = Snakepit.execute("wait", %{port: beacon.port}, options)
    assert {%{command: "wait"}, _ms} = await_told("waiting")
  end
end
