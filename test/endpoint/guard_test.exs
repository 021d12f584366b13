defmodule Snakepit.Endpoint.GuardTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.EndpointHelper

  alias Snakepit.Test.Http

  @moduletag :capture_log
  @cancel "/streams/default/1/cancel"

  setup do
    %{port: start_endpoint(hosts: ["Ops.example"])}
  end

  defp post(port, headers),
    do: Http.request(port, "POST", @cancel, [{"host", "localhost:#{port}"} | headers])

  test "it is asked by its address, as localhost, or by a name it was told", %{port: port} do
    for host <-
          ["localhost", "LOCALHOST:1", "127.0.0.1:#{port}", "[::1]:80", "10.1.2.3"] ++
            ["ops.example", "ops.example:8080"] do
      assert {200, _headers, _text} = Http.get(port, "/state.json", [{"host", host}])
    end
  end

  # So does a page whose own name has been made to mean this address.
  test "a page that came by another name learns nothing", %{port: port} do
    for host <-
          ["evil.example", "evil.example:#{port}", "localhost.evil.example", "127.0.0.1.evil"] ++
            ["x.ops.example", "2130706433", "0x7f.1", "", "[::1", "localhost@evil"],
        path <- ["/", "/state.json", "/metrics", "/page.js", "/nowhere"] do
      assert {403, _headers, text} = Http.get(port, path, [{"host", host}])
      assert text =~ "add the name to its option :hosts"
    end

    both = [{"host", "localhost"}, {"host", "evil.example"}]
    assert {403, _headers, _text} = Http.get(port, "/state.json", both)
    assert {status, _headers, _text} = Http.get(port, "/state.json", [])
    assert status in [400, 403]
  end

  test "no other page may read what a browser gets here", %{port: port} do
    {200, headers, _json} =
      Http.get(port, "/state.json", [{"host", "localhost"}, {"origin", "http://evil"}])

    refute Enum.any?(Map.keys(headers), &String.starts_with?(&1, "access-control-"))
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
  end

  test "to cancel takes the token", %{port: port} do
    for headers <- [
          [],
          [{"x-snakepit-token", ""}],
          [{"x-snakepit-token", "the tokem"}],
          [{"x-snakepit-token", "the token and more"}],
          [{"x-snakepit-token", <<0xFF>>}],
          [{"authorization", "Bearer the token"}],
          [{"cookie", "x-snakepit-token=the token"}],
          [{"x-snakepit-token", "wrong"}, {"x-snakepit-token", token()}]
        ] do
      assert {403, _headers, text} = post(port, headers)
      assert text =~ "takes the token"
    end

    # With it the answer is about the stream.
    assert {404, _headers, "This stream has ended.\n"} =
             post(port, [{"x-snakepit-token", token()}])
  end

  test "another page may not even with the token", %{port: port} do
    token = {"x-snakepit-token", token()}

    for header <- [
          {"origin", "http://evil.example"},
          {"origin", "http://localhost"},
          {"origin", "null"},
          {"sec-fetch-site", "cross-site"},
          {"sec-fetch-site", "same-site"}
        ] do
      assert {403, _headers, "Another page may not ask for this.\n"} = post(port, [token, header])
    end

    for header <- [{"origin", "http://localhost:#{port}"}, {"sec-fetch-site", "same-origin"}],
        do: assert({404, _headers, _text} = post(port, [token, header]))
  end

  test "names of pools make no atoms", %{port: port} do
    name = "no_pool_#{System.unique_integer([:positive])}"
    headers = [{"host", "localhost"}, {"x-snakepit-token", token()}]
    assert {404, _, _} = Http.request(port, "POST", "/streams/#{name}/1/cancel", headers)
    assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
  end
end
