defmodule Snakepit.ConfiguredPoolTest do
  # The application and its environment are shared.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias Snakepit.Error

  setup {Snakepit.Test.AppEnv, :keep}

  defp configure do
    Application.put_env(:snakepit, :adapter_module, Snakepit.Adapters.GRPCPython)
    Application.put_env(:snakepit, :pool_config, %{pool_size: 1})
  end

  test "without configuration nothing runs" do
    assert Snakepit.execute("ping", %{}) == {:error, :pool_not_found}
  end

  test "a pool that is configured before the application starts, starts with it" do
    capture_log(fn -> Application.stop(:snakepit) end)
    configure()
    Application.put_env(:snakepit, :grpc_config, %{base_port: 50_051, port_range: 100})

    assert {:ok, _apps} = Application.ensure_all_started(:snakepit)
    assert [%{address: "http://127.0.0.1:" <> _port}] = Snakepit.list_workers()
    assert {:ok, result} = Snakepit.execute("ping", %{})
    assert result["status"] == "ok"
  end

  test "a pool that is configured later starts with the first call" do
    configure()
    assert {:ok, _none} = Application.ensure_all_started(:snakepit)

    test = self()
    assert :ok = Snakepit.execute_stream("ping_stream", %{count: 3}, &send(test, {:chunk, &1}))
    assert_received {:chunk, %{"index" => 1}}
    assert_received {:chunk, %{"index" => 2}}
    assert_received {:chunk, %{"index" => 3, "is_final" => true}}
    assert Snakepit.await_ready() == :ok
  end

  test "callers that come at once start it once" do
    configure()

    results =
      1..10
      |> Enum.map(fn _ -> Task.async(fn -> Snakepit.execute("ping", %{}) end) end)
      |> Task.await_many(30_000)

    assert Enum.all?(results, &match?({:ok, %{"status" => "ok"}}, &1))
    assert [_one] = Snakepit.list_workers()
  end

  test "one that cannot start says why to the caller" do
    configure()
    Application.put_env(:snakepit, :pool_config, %{python: [executable: "/no/such/python"]})

    capture_log(fn ->
      assert {:error, %Error{kind: :worker_crashed} = error} = Snakepit.execute("ping", %{})
      assert error.message =~ "/no/such/python"
    end)
  end

  test "several pools start with the application" do
    capture_log(fn -> Application.stop(:snakepit) end)

    Application.put_env(:snakepit, :pools,
      configured_one: [pool_size: 1],
      configured_two: [pool_size: 2]
    )

    assert {:ok, _apps} = Application.ensure_all_started(:snakepit)
    assert [_one] = Snakepit.list_workers(:configured_one)
    assert [_, _] = Snakepit.list_workers(:configured_two)
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: :configured_two)
    assert Snakepit.execute("ping", %{}) == {:error, :pool_not_found}
  end

  test "a wrong configuration keeps the application from starting, and says why" do
    capture_log(fn ->
      Application.stop(:snakepit)
      Application.put_env(:snakepit, :pool_config, %{pool_size: "four"})
      assert {:error, {:snakepit, reason}} = Application.ensure_all_started(:snakepit)
      message = Application.format_error(reason)
      assert message =~ ~s(option :pool_size expected a positive integer, got "four")

      Application.put_env(:snakepit, :pool_cnfig, %{})
      assert {:error, {:snakepit, reason}} = Application.ensure_all_started(:snakepit)
      assert Application.format_error(reason) =~ "did you mean :pool_config?"
      Application.delete_env(:snakepit, :pool_cnfig)
    end)
  end

  test "a wrong configuration that comes later raises in the caller" do
    Application.put_env(:snakepit, :pool_config, %{pool_sise: 1})

    assert_raise ArgumentError, ~r/unknown option :pool_sise, did you mean :pool_size/, fn ->
      Snakepit.execute("ping", %{})
    end
  end
end
