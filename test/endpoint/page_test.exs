defmodule Snakepit.Endpoint.PageTest do
  # In a browser, with all that the page shows. With SNAKEPIT_SCREENSHOTS it also takes the pictures of
  # the guide, see scripts/screenshots.
  use ExUnit.Case, async: false

  import Snakepit.Test.PoolHelper, only: [pool_options: 2]

  alias Snakepit.{Endpoint, Jobs, Session}
  alias Snakepit.Status.Errors
  alias Snakepit.Test.{Browser, Http, StreamHelper}

  @moduletag :browser
  @moduletag :capture_log
  @moduletag timeout: 240_000

  @pool MyApp.Python
  @token "token of the test"

  setup do
    python = [path: ["examples/live_page"], modules: ["shop_handlers"]]
    options = [pool_size: 2, max_concurrent_streams: 8, python: python]
    start_supervised!({Snakepit.Pool, pool_options(@pool, options)})
    start_supervised!({Jobs, name: MyApp.Jobs})
    %{port: start_endpoint(0)}
  end

  defp start_endpoint(port) do
    start_supervised!({Endpoint, name: MyApp.Endpoint, port: port, token: @token, interval: 500})
    {:ok, port} = Endpoint.port(MyApp.Endpoint)
    port
  end

  defp stream(command, callback) do
    Task.async(fn -> Snakepit.execute_stream(command, %{}, callback, pool: @pool, window: 4) end)
  end

  defp await_chunk(command, callback) do
    test = self()

    task =
      stream(command, fn chunk ->
        send(test, {:chunk, command})
        callback.(chunk)
      end)

    assert_receive {:chunk, ^command}, 10_000
    task
  end

  defp goings_on do
    {:ok, _session} = Session.create("visitor-42", pool: @pool)

    start_supervised!({Task, &predict/0})
    {:error, _declined} = Snakepit.execute("charge_card", %{card: "a secret number"}, pool: @pool)
    {:error, _wrong} = Snakepit.execute("predict", %{features: "secret"}, pool: @pool)

    {:ok, done} = Jobs.submit("predict", %{features: []}, pool: @pool, jobs: MyApp.Jobs)
    {:ok, _class} = Jobs.result(done, jobs: MyApp.Jobs)
    {:ok, report} = Jobs.submit("nightly_report", %{}, pool: @pool, jobs: MyApp.Jobs)

    assert Enum.any?(
             Jobs.watch(report, :stream, jobs: MyApp.Jobs),
             &is_number(&1["progress"])
           )

    # Its consumer takes its time.
    slow = await_chunk("embed_documents", fn _chunk -> receive(do: (:next -> :ok)) end)

    %{
      "train_model" => await_chunk("train_model", fn _chunk -> :ok end),
      "tail_log" => await_chunk("tail_log", fn _chunk -> :ok end),
      "embed_documents" => slow
    }
  end

  # Some calls all the time.
  defp predict do
    {:ok, _class} = Snakepit.execute("predict", %{features: [1, 2, 3]}, pool: @pool)

    receive do
    after
      5 -> predict()
    end
  end

  test "a person sees all that goes on, and ends a stream", %{port: port} do
    streams = goings_on()
    url = "http://127.0.0.1:#{port}/"

    # The pictures show what an application has.
    {arguments, command} =
      case System.get_env("SNAKEPIT_SCREENSHOTS") do
        nil -> {[], "<script>window.broken = 1</script>"}
        directory -> {["--screenshots", directory], "summarize"}
      end

    Errors.record(%{
      pool: @pool,
      command: command,
      request_id: "order-17",
      reason: :worker_timeout
    })

    # The longest word there is, which a phone has to break.
    if arguments == [], do: Errors.record(%{pool: @pool, reason: :streaming_not_supported})

    browser = Browser.open([url, @token, command | arguments])

    Browser.await(browser, "more")
    {:ok, _session} = Session.create("visitor-43", pool: @pool)
    Browser.tell(browser, "go on")

    Browser.await(browser, "cancelled train_model")
    assert Task.await(streams["train_model"]) == {:error, :cancelled}
    Browser.await(browser, "cancelled tail_log")
    assert Task.await(streams["tail_log"]) == {:error, :cancelled}
    assert Task.yield(streams["embed_documents"], 0) == nil

    Browser.await(browser, "stop")
    :ok = stop_supervised({Endpoint, MyApp.Endpoint})
    Browser.tell(browser, "go on")
    Browser.await(browser, "start")
    StreamHelper.eventually(fn -> free?(port) end)
    assert start_endpoint(port) == port
    Browser.tell(browser, "go on")

    Browser.await(browser, "done")
    Browser.await_end(browser)
    assert {200, _headers, _page} = Http.get(port, "/")
    Task.shutdown(streams["embed_documents"], :brutal_kill)
  end

  defp free?(port) do
    with {:ok, socket} <- :gen_tcp.listen(port, ip: {127, 0, 0, 1}, reuseaddr: true),
         do: :gen_tcp.close(socket) == :ok
  end
end
