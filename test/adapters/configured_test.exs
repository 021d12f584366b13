defmodule Snakepit.Adapters.ConfiguredTest do
  # The application and its environment are shared.
  use ExUnit.Case, async: false

  alias Snakepit.AdapterFallback
  alias Snakepit.Adapters.{GenericPythonMsgpack, GenericPythonV2, GRPCPython}
  alias Snakepit.Test.UnstartableAdapter

  @moduletag :capture_log

  setup {Snakepit.Test.AppEnv, :keep}

  setup do
    Application.put_env(:snakepit, :pool_config, %{pool_size: 1})
  end

  defp transport, do: hd(Snakepit.list_workers()).transport

  test "the adapters of the guide, one after the other" do
    for {adapter, transport} <- [
          {GenericPythonV2, "stdio-json"},
          {GenericPythonMsgpack, "stdio-msgpack"},
          {GRPCPython, "native"}
        ] do
      :ok = Application.stop(:snakepit)
      Application.put_env(:snakepit, :adapter_module, adapter)
      :ok = Application.start(:snakepit)
      assert {:ok, %{"status" => "ok"}} = Snakepit.execute("ping", %{})
      assert transport() == transport
    end
  end

  test "adapters: the first that can start" do
    Application.put_env(:snakepit, :adapter_module, GRPCPython)
    Application.put_env(:snakepit, :adapters, [UnstartableAdapter, GenericPythonMsgpack])
    assert {:ok, %{"status" => "ok"}} = Snakepit.execute("ping", %{})
    assert transport() == "stdio-msgpack"
  end

  test "adapters: none that can start" do
    Application.put_env(:snakepit, :adapters, [UnstartableAdapter, UnstartableAdapter])
    assert Snakepit.execute("ping", %{}) == {:error, :grpc_unavailable}

    assert AdapterFallback.execute_with_fallback("ping", %{}) == {:error, :grpc_unavailable}
  end

  test "fallback_adapter: the application starts, and the fallback serves" do
    Application.put_env(:snakepit, :adapter_module, UnstartableAdapter)
    Application.put_env(:snakepit, :fallback_adapter, GenericPythonV2)
    :ok = Application.stop(:snakepit)
    :ok = Application.start(:snakepit)

    assert Snakepit.execute("ping", %{}) == {:error, :grpc_unavailable}
    assert {:ok, %{"status" => "ok"}} = AdapterFallback.execute_with_fallback("ping", %{})
    assert {:ok, %{"status" => "ok"}} = AdapterFallback.execute_with_fallback("ping", %{}, 5_000)

    assert Snakepit.execute_stream("ping_stream", %{count: 1}, & &1) ==
             {:error, :grpc_unavailable}
  end

  test "streams of an adapter that has none" do
    Application.put_env(:snakepit, :adapter_module, GenericPythonV2)

    assert Snakepit.execute_stream("ping_stream", %{count: 1}, & &1) ==
             {:error, :streaming_not_supported}
  end
end
