defmodule Snakepit.Endpoint.StartTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog
  import Snakepit.Test.EndpointHelper, only: [start_endpoint: 1]

  alias Snakepit.Endpoint
  alias Snakepit.Test.{AppEnv, Await, Http, LogTap, StreamHelper}

  @moduletag :capture_log

  defp taken_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    {socket, port}
  end

  test "without configuration there is none" do
    assert Endpoint.configured() == []
    assert Endpoint.port() == {:error, :not_running}
  end

  test "options are checked" do
    for {options, message} <- [
          {[prot: 1], ~r/unknown option :prot, did you mean :port\?/},
          {[port: 70_000], ~r/:port expected a port number or one of 0/},
          {[ip: "everywhere"], ~r/:ip expected an IP address like \{127, 0, 0, 1\}/},
          {[ip: {1, 2, 3, 400}], ~r/:ip expected an IP address/},
          {[token: ""], ~r/:token expected a string that is not empty/},
          {true, ~r/expected a keyword list/}
        ] do
      assert_raise ArgumentError, message, fn -> Endpoint.start_link(options) end
    end
  end

  test "a token is made up and logged once, one that was given is not" do
    LogTap.attach()
    level = Logger.level()
    Logger.configure(level: :info)
    on_exit(fn -> Logger.configure(level: level) end)

    {:ok, endpoint} = Endpoint.start_link(port: 0, name: :made_up)
    {:ok, port} = Endpoint.port(:made_up)
    assert_receive {:log, "Snakepit's live page is at http://127.0.0.1" <> text, _metadata}
    assert [_line, token] = Regex.run(~r/token to cancel streams there is (\S+)$/, text)
    assert byte_size(token) == 24

    headers = [{"host", "localhost"}, {"x-snakepit-token", token}]
    assert {404, _, _} = Http.request(port, "POST", "/streams/a/1/cancel", headers)

    # It is nowhere to be found afterwards.
    refute inspect(:sys.get_state(endpoint)) =~ token
    GenServer.stop(endpoint)

    _port = start_endpoint(token: "a secret")
    assert_receive {:log, "Snakepit's live page is at http://127.0.0.1" <> text, _metadata}
    refute text =~ "secret"
  end

  test "it listens where it is told to" do
    assert {:ok, endpoint} =
             Endpoint.start_link(port: 0, ip: {0, 0, 0, 0, 0, 0, 0, 1}, name: :six)

    {:ok, port} = Endpoint.port(:six)
    assert {:ok, _socket} = :gen_tcp.connect({0, 0, 0, 0, 0, 0, 0, 1}, port, [:inet6])
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])
    GenServer.stop(endpoint)
  end

  test "two may stand side by side, and leave nothing behind" do
    {:ok, one} = Endpoint.start_link(port: 0, name: :one)
    {:ok, two} = Endpoint.start_link(port: 0, name: :two)
    {:ok, first} = Endpoint.port(:one)
    {:ok, second} = Endpoint.port(:two)
    assert first != second

    for {endpoint, port} <- [{one, first}, {two, second}] do
      assert {200, _, _} = Http.get(port, "/")
      GenServer.stop(endpoint)
      StreamHelper.eventually(fn -> refused?(port) end)
    end
  end

  # The system takes a moment to close it.
  defp refused?(port) do
    case :gen_tcp.connect({127, 0, 0, 1}, port, []) do
      {:ok, socket} -> :gen_tcp.close(socket) != :ok
      {:error, reason} -> reason == :econnrefused
    end
  end

  test "in one's own tree it does not start on a port that is taken" do
    {_socket, port} = taken_port()
    Process.flag(:trap_exit, true)

    assert capture_log(fn ->
             assert Endpoint.start_link(port: port, name: :own) == {:error, :eaddrinuse}
           end)
  end

  describe "configured" do
    setup {AppEnv, :keep}

    defp restart(options) do
      capture_log(fn -> Application.stop(:snakepit) end)
      Application.put_env(:snakepit, :endpoint, options)
      capture_log(fn -> :ok = Application.start(:snakepit) end)
    end

    test "it starts with the application and stops with it" do
      restart(port: 0)
      {:ok, port} = Endpoint.port()
      assert {200, _, _} = Http.get(port, "/")
      capture_log(fn -> Application.stop(:snakepit) end)
      StreamHelper.eventually(fn -> refused?(port) end)
    end

    test "a port that is taken is said, and tried again; the application runs" do
      {socket, port} = taken_port()
      log = restart(port: port)
      assert log =~ "cannot be served at 127.0.0.1:#{port}: another program listens there"
      assert Endpoint.port() == {:error, :not_running}
      assert is_pid(Process.whereis(Snakepit.Supervisor))

      :gen_tcp.close(socket)
      send(Endpoint, :try_again)
      assert Endpoint.port() == {:ok, port}
      assert {200, _, _} = Http.get(port, "/")
    end

    test "the end of its HTTP server is nobody else's" do
      restart(port: 0)
      endpoint = Process.whereis(Endpoint)
      %{httpd: httpd} = :sys.get_state(endpoint)

      log =
        capture_log(fn ->
          Process.exit(httpd, :kill)
          # The exit of another process comes when it comes.
          Await.eventually(fn -> :sys.get_state(endpoint).httpd != httpd end)
        end)

      assert log =~ "The HTTP server of Snakepit.Endpoint has ended: :killed"
      send(endpoint, :try_again)
      {:ok, port} = Endpoint.port()
      assert {200, _, _} = Http.get(port, "/")
      assert Process.whereis(Endpoint) == endpoint
    end
  end
end
