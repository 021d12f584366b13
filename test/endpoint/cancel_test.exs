defmodule Snakepit.Endpoint.CancelTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.EndpointHelper
  import Snakepit.Test.PoolHelper, only: [pool_options: 2]

  alias Snakepit.Test.{Http, StreamHelper}

  @moduletag :capture_log

  setup do
    %{port: start_endpoint(), pool: StreamHelper.start_pool()}
  end

  defp streams(port, pool) do
    {200, _headers, text} = Http.get(port, "/state.json")
    Enum.filter(JSON.decode!(text)["streams"], &(&1["pool"] == to_string(pool)))
  end

  defp cancel(port, stream, token \\ token()) do
    headers = [{"host", "localhost"}, {"x-snakepit-token", token}]
    path = "/streams/#{stream["pool"]}/#{stream["id"]}/cancel"
    {status, _headers, text} = Http.request(port, "POST", path, headers)
    {status, text}
  end

  # Its callback waits for the test after the first chunk.
  defp start_stream(pool, request_id) do
    test = self()

    consumer =
      Task.async(fn ->
        callback = fn _chunk ->
          send(test, {:chunk, self()})
          receive do: (:go_on -> :ok)
        end

        opts = [pool: pool, request_id: request_id, window: 1]
        Snakepit.execute_stream("numbers", %{n: 1_000_000}, callback, opts)
      end)

    assert_receive {:chunk, _consumer}, 10_000
    consumer
  end

  test "a running stream is shown, and ended for whoever shows the token", context do
    %{port: port, pool: pool} = context
    consumer = start_stream(pool, "request 1")

    assert [stream] = streams(port, pool)
    assert %{"command" => "numbers", "request_id" => "request 1", "age_ms" => age} = stream
    assert stream["worker_id"] == "#{pool}-1"
    assert age >= 0
    StreamHelper.eventually(fn -> match?([%{"stalled?" => true}], streams(port, pool)) end)

    assert {403, _sentence} = cancel(port, stream, "no token")
    assert [^pool] = for(%{"pool" => name} <- streams(port, pool), do: String.to_atom(name))

    assert {200, ~s({"cancelled":true})} = cancel(port, stream)
    send(consumer.pid, :go_on)
    assert Task.await(consumer) == {:error, :cancelled}
    assert {404, "This stream has ended.\n"} = cancel(port, stream)
    assert streams(port, pool) == []
  end

  test "a pool may have any name", %{port: port} do
    name = :"odd/näme %41?#<b>"
    options = pool_options(name, python: [modules: ["stream_handlers"]])
    start_supervised!({Snakepit.Pool, options})
    consumer = start_stream(name, "odd")

    assert [stream] = streams(port, name)
    assert {404, _} = cancel(port, %{stream | "pool" => "odd"})

    assert {200, _} =
             cancel(port, %{
               stream
               | "pool" => URI.encode_www_form("#{name}") |> String.replace("+", "%20")
             })

    send(consumer.pid, :go_on)
    assert Task.await(consumer) == {:error, :cancelled}
  end

  test "no other stream is ended", %{port: port, pool: pool} do
    first = start_stream(pool, "first")
    second = start_stream(pool, "second")

    [stream] = Enum.filter(streams(port, pool), &(&1["request_id"] == "first"))

    for id <- ["0", "-1", "x", "1x", "99999999"],
        do: assert({404, _} = cancel(port, %{stream | "id" => id}))

    assert {404, _} = cancel(port, %{stream | "pool" => "other"})

    assert {200, _} = cancel(port, stream)
    send(first.pid, :go_on)
    assert Task.await(first) == {:error, :cancelled}
    assert [%{"request_id" => "second"}] = streams(port, pool)
    Task.shutdown(second, :brutal_kill)
  end
end
