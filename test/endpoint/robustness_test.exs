defmodule Snakepit.Endpoint.RobustnessTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.EndpointHelper

  alias Snakepit.Test.Http

  @moduletag :capture_log
  @moduletag timeout: 120_000

  setup do
    %{port: start_endpoint()}
  end

  defp alive!(port), do: assert({200, _headers, _json} = Http.get(port, "/state.json"))

  defp send_raw(port, text) do
    socket = Http.connect(port)
    _sent_or_closed = :gen_tcp.send(socket, text)
    Http.read(socket)
  end

  test "requests that are too large are refused", %{port: port} do
    assert {414, _, _} = Http.get(port, "/" <> String.duplicate("x", 3_000))

    assert {413, _, _} =
             Http.get(port, "/", [{"host", "localhost"}, {"x", String.duplicate("x", 20_000)}])

    headers = [{"host", "localhost"}]
    path = "/streams/default/1/cancel"
    assert {413, _, _} = Http.request(port, "POST", path, headers, String.duplicate("x", 2_000))

    # The length it claims is enough.
    claims = "POST #{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n"
    assert {413, _, _} = port |> send_raw(claims) |> Http.parse()
    alive!(port)
  end

  test "what is no request harms nothing, and its sender learns nothing", %{port: port} do
    for text <- [
          "\r\n\r\n",
          "GET\r\n\r\n",
          "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
          "GET /<script>alert(1)</script> HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
          "GET /%zz%ff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
          "GET /é HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
          "GET / HTTP/1.1\r\nhost: \xff\r\nconnection: close\r\n\r\n",
          "POST /streams/a/1/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
          "POST /streams/a/1/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
          "POST /streams/a/1/cancel HTTP/1.1\r\nhost: localhost\r\n" <>
            "transfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n",
          :crypto.strong_rand_bytes(2_000) <> "\r\n\r\n"
        ] do
      answer = send_raw(port, text)
      refute answer =~ "200 OK"
      refute answer =~ "<script>"
      refute answer =~ "snakepit/"
    end

    alive!(port)
  end

  test "who sends half a request is sent away", %{port: port} do
    socket = Http.connect(port)
    :ok = :gen_tcp.send(socket, "GET / HTTP/1.1\r\nho")
    refute Http.read(socket) =~ "200 OK"
    alive!(port)
  end

  test "who is gone, or does not read, holds nobody up", %{port: port} do
    asks = "GET /state.json HTTP/1.1\r\nhost: localhost\r\n\r\n"

    deaf =
      for _client <- 1..10 do
        socket = Http.connect(port)
        _sent_or_closed = :gen_tcp.send(socket, String.duplicate(asks, 200))
        socket
      end

    for _client <- 1..20 do
      socket = Http.connect(port)
      _sent_or_closed = :gen_tcp.send(socket, asks)
      :gen_tcp.close(socket)
    end

    alive!(port)
    Enum.each(deaf, &:gen_tcp.close/1)
    alive!(port)
  end

  test "many at once are served, or told that there are too many", %{port: port} do
    assert Enum.uniq(statuses(port, 200, 16)) == [200]

    answers = statuses(port, 300, 100)
    assert 200 in answers
    assert Enum.uniq(answers) -- [200, 503] == []
    alive!(port)
  end

  defp statuses(port, requests, at_once) do
    1..requests
    |> Task.async_stream(fn _ -> elem(Http.get(port, "/state.json"), 0) end,
      max_concurrency: at_once,
      timeout: 60_000
    )
    |> Enum.map(fn {:ok, status} -> status end)
  end

  test "connections beyond the limit are refused and do not stay", %{port: port} do
    held = for _client <- 1..64, do: Http.connect(port)
    assert {503, _headers, _text} = Http.get(port, "/state.json")
    Enum.each(held, &:gen_tcp.close/1)
    Snakepit.Test.StreamHelper.eventually(fn -> match?({200, _, _}, Http.get(port, "/")) end)
  end
end
