defmodule Snakepit.Log.TraceTest do
  # Handlers continue the trace of their caller, with OpenTelemetry itself in the worker.
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Test.Adapters

  @moduletag :capture_log

  @none String.duplicate("0", 32)

  defp traced(n) do
    id = n |> Integer.to_string(16) |> String.downcase() |> String.pad_leading(32, "0")
    {id, [metadata: %{"traceparent" => "00-#{id}-00f067aa0ba902b7-01", "tracestate" => "a=b"}]}
  end

  for adapter <- Adapters.all(), adapter[:language] != :javascript do
    describe adapter.name do
      @adapter adapter

      setup do
        options = [max_concurrent_streams: 4, python: [modules: ["trace_handlers"]]]
        %{pool: start_pool(options ++ @adapter.options)}
      end

      test "commands are in the trace of their call, and in no other", %{pool: pool} do
        for command <- ~w(trace_of trace_of_main trace_of_async) do
          1..20
          |> Enum.map(fn n ->
            {id, options} = if rem(n, 4) == 0, do: {@none, []}, else: traced(n)

            Task.async(fn ->
              {id, Snakepit.execute(command, %{}, [pool: pool] ++ options)}
            end)
          end)
          |> Task.await_many()
          |> Enum.each(fn {id, answer} -> assert answer == {:ok, %{"trace" => id}} end)
        end
      end

      if adapter.streams do
        test "so is every step of a stream", %{pool: pool} do
          for command <- ~w(traces traces_async) do
            {id, options} = traced(77)
            options = [pool: pool] ++ options
            chunks = command |> Snakepit.stream!(%{count: 5}, options) |> Enum.to_list()
            assert Enum.map(chunks, & &1["trace"]) == List.duplicate(id, 6)
            assert {:ok, %{"trace" => @none}} = Snakepit.execute("trace_of", %{}, pool: pool)
          end
        end

        test "and what reads the caller's chunks", %{pool: pool} do
          {id, options} = traced(78)
          options = [pool: pool] ++ options
          input = [%{}, %{}]

          assert {:ok, %{"traces" => [^id, ^id]}} =
                   Snakepit.execute_client_stream("traces_in", %{}, input, options)

          test = self()
          tell = &send(test, {:chunk, &1["trace"]})
          assert :ok = Snakepit.execute_bidi_stream("traces_both", %{}, input, tell, options)
          assert_received {:chunk, ^id}
          assert_received {:chunk, ^id}
        end
      end
    end
  end
end
