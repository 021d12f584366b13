defmodule Snakepit.Endpoint.RoutesTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.EndpointHelper
  import Snakepit.Test.PoolHelper

  alias Snakepit.Status.Errors
  alias Snakepit.Test.Http

  @moduletag :capture_log

  setup do
    %{port: start_endpoint(interval: 250)}
  end

  test "the page and all it needs, and nothing else is asked for", %{port: port} do
    {200, headers, html} = Http.get(port, "/")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-length"] == "#{byte_size(html)}"
    assert headers["content-security-policy"] =~ "default-src 'none'; script-src 'self'"

    needed = Regex.scan(~r/(?:href|src)="([^"]+)"/, html, capture: :all_but_first)
    {200, _headers, script} = Http.get(port, "/page.js")
    imported = Regex.scan(~r/from "\.([^"]+)"/, script, capture: :all_but_first)
    assert imported != []

    for [path] <- needed ++ imported do
      assert "/" <> _own = path
      assert {200, %{"x-content-type-options" => "nosniff"}, text} = Http.get(port, path)
      assert text != ""
    end
  end

  test "the state has what the page shows", %{port: port} do
    pool = start_pool(max_concurrent_streams: 4)
    assert {200, headers, text} = Http.get(port, "/state.json")
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["cache-control"] == "no-store"

    state = JSON.decode!(text)
    assert state["interval"] == 250
    name = to_string(pool)

    assert %{"queued" => 0, "free_slots" => 4, "adapter" => "Snakepit.Adapters.GRPCPython"} =
             Enum.find(state["pools"], &(&1["name"] == name))

    assert %{"state" => "ready", "restarts" => 0, "capacity" => 4} =
             Enum.find(state["workers"], &(&1["pool"] == name))

    for list <- ~w(streams sessions errors), do: assert(is_list(state[list]))
    assert %{"counts" => %{"running" => _}, "latest" => _} = state["jobs"]
  end

  # Others read JSON too.
  test "what users name is text, whatever bytes it has", %{port: port} do
    command = "<script>alert(1)</script>"
    Errors.record(%{pool: :p, command: command, request_id: <<0xFF, "id">>, reason: :cancelled})

    {200, _headers, text} = Http.get(port, "/state.json")
    assert error = Enum.find(JSON.decode!(text)["errors"], &(&1["command"] == command))
    assert error["request_id"] == "�id"
  end

  test "metrics in the format of Prometheus", %{port: port} do
    pool = start_pool()
    {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    assert {200, headers, text} = Http.get(port, "/metrics")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert text =~ ~r/^# HELP /m
    assert text =~ ~s(pool="#{pool}")
  end

  test "HEAD is GET without the body", %{port: port} do
    {200, %{"content-length" => length}, body} = Http.get(port, "/page.css")
    assert length == "#{byte_size(body)}"
    assert {200, %{"content-length" => ^length}, ""} = Http.request(port, "HEAD", "/page.css")
  end

  test "other methods are refused, and say which are not", %{port: port} do
    assert {405, %{"allow" => "GET, HEAD"}, text} = Http.request(port, "POST", "/state.json")
    assert text =~ "GET, HEAD"
    assert {405, %{"allow" => "POST"}, _} = Http.get(port, "/streams/default/1/cancel")
    assert {405, _headers, _} = Http.request(port, "DELETE", "/")
    # The HTTP server of OTP knows no others.
    for method <- ~w(OPTIONS FOO), do: assert({501, _, _} = Http.request(port, method, "/"))
  end

  test "no file is served and no directory listed", %{port: port} do
    for path <-
          ~w(/etc/passwd /../../../../etc/passwd /..%2f..%2fetc/passwd //etc/passwd
                   /lib /releases/ /page.html /%00 /streams /streams/default/1) do
      assert {status, _headers, text} = Http.get(port, path)
      assert status in [400, 403, 404], "#{path} was answered with #{status}"
      refute text =~ "root:"
    end

    assert {404, _headers, "There is nothing here. The live page is at /.\n"} =
             Http.get(port, "/nowhere")
  end

  test "a query changes nothing", %{port: port} do
    assert {200, _headers, _html} = Http.get(port, "/?a=b")
  end
end
