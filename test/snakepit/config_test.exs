defmodule Snakepit.ConfigTest do
  # The application environment is shared.
  use ExUnit.Case, async: false

  alias Snakepit.Adapters.{GenericPythonMsgpack, GenericPythonV2, GRPCPython}
  alias Snakepit.Config

  describe "new!/1" do
    test "fills in the defaults" do
      config = Config.new!([])
      assert config.name == :default
      assert config.adapter == Snakepit.Adapters.GRPCPython
      assert config.pool_size == System.schedulers_online()
      assert config.max_concurrent_streams == 10
      assert config.base_port == nil
      assert config.health == %{interval: 5_000, timeout: 2_000, max_misses: 3}
      assert %{path: [], modules: [], args: [], env: %{}} = config.python
    end

    test "takes maps as well as keyword lists" do
      config = Config.new!(%{pool_size: 2, python: %{modules: ["a.b"], env: [A: "1"]}})
      assert config.pool_size == 2
      assert %{modules: ["a.b"], env: %{"A" => "1"}} = config.python
    end

    test "finds the directories of an application, wherever it is installed" do
      config = Config.new!(python: [path: ["here", {:snakepit, "priv/python"}]])
      assert config.python.path == ["here", Application.app_dir(:snakepit, "priv/python")]
    end

    test "knows what an unknown option was meant to be" do
      assert_raise ArgumentError, ~r/unknown option :pool_sise, did you mean :pool_size\?/, fn ->
        Config.new!(pool_sise: 1)
      end

      assert_raise ArgumentError,
                   ~r/:python: unknown option :module, did you mean :modules/,
                   fn ->
                     Config.new!(python: [module: "a"])
                   end

      assert_raise ArgumentError, ~r/unknown option :zzz, expected one of :name/, fn ->
        Config.new!(zzz: 1)
      end
    end

    test "refuses what is not a list of options" do
      for wrong <- [:pool_size, "pool_size: 1", [:pool_size], %{"pool_size" => 1}] do
        assert_raise ArgumentError, ~r/Snakepit.Pool expected a keyword list or a map, got/, fn ->
          Config.new!(wrong)
        end
      end
    end

    test "refuses a module that is no adapter" do
      for module <- [Enum, NoSuchAdapter] do
        assert_raise ArgumentError,
                     ~r/:adapter expected .* Snakepit.Adapter, got #{inspect(module)}/,
                     fn ->
                       Config.new!(adapter: module)
                     end
      end
    end

    test "refuses adapters and a fallback that are none" do
      for {option, value} <- [adapters: [GRPCPython, Enum], fallback_adapter: Enum] do
        assert_raise ArgumentError, ~r/expected a module with the behaviour .* got Enum/, fn ->
          Config.new!([{option, value}])
        end
      end
    end

    test "knows what each adapter speaks, and leaves out what makes no sense there" do
      options = [adapters: [GRPCPython, GenericPythonV2], transport: :grpcio, base_port: 50_000]

      assert [
               %{protocol: :grpc, transport: :grpcio, base_port: 50_000},
               %{protocol: :json, transport: :native, base_port: nil}
             ] = Config.candidates!(options)

      assert %{protocol: :msgpack} = Config.new!(adapter: GenericPythonMsgpack)
    end

    test "refuses a transport that the adapter does not have" do
      for adapter <- [GenericPythonV2, GenericPythonMsgpack, Snakepit.Test.PipeAdapter] do
        message = ~r/:transport :grpcio makes no sense with #{inspect(adapter)}/

        assert_raise ArgumentError, message, fn ->
          Config.new!(adapter: adapter, transport: :grpcio)
        end
      end

      assert_raise ArgumentError, ~r/:transport expected one of :native, :grpcio/, fn ->
        Config.new!(transport: :carrier_pigeon)
      end
    end

    test "refuses fewer ports than workers" do
      assert_raise ArgumentError,
                   ~r/:port_range expected at least :pool_size \(4\) ports, got 3/,
                   fn ->
                     Config.new!(base_port: 50_000, port_range: 3, pool_size: 4)
                   end

      assert %{port_range: 3} = Config.new!(port_range: 3, pool_size: 4)
    end

    test "says what it expected" do
      for {option, expected} <- [
            {{:pool_size, 0}, ~r/:pool_size expected a positive integer, got 0/},
            {{:queue_limit, -1}, ~r/:queue_limit expected a non-negative integer, got -1/},
            {{:queue_timeout, :never},
             ~r/expected a number of milliseconds or :infinity, got :never/},
            {{:base_port, 70_000}, ~r/expected a port number, got 70000/},
            {{:session_affinity, :loose}, ~r/expected one of :hint, .*got :loose/},
            {{:python, "python3"}, ~r/expected options \[:executable.*got "python3"/},
            {{:python, [path: "lib"]},
             ~r/:python: option :path expected a list, each a directory or {:application, directory}/},
            {{:python, [path: [{:no_such_app, "lib"}]]}, ~r/an application that is there, got/},
            {{:python, [threads: 0]}, ~r/:python: option :threads expected a positive .*got 0/},
            {{:health, [intervall: 1]},
             ~r/:health: unknown option :intervall, did you mean :interval/},
            {{:python, [env: [A: 1]]}, ~r/expected names and values as strings/},
            {{:name, nil}, ~r/expected an atom, got nil/}
          ] do
        assert_raise ArgumentError, expected, fn -> Config.new!([option]) end
      end
    end
  end

  describe "from_env/0" do
    setup do
      before = Application.get_all_env(:snakepit)

      on_exit(fn ->
        for {key, _value} <- Application.get_all_env(:snakepit),
            do: Application.delete_env(:snakepit, key)

        Application.put_all_env(snakepit: before)
      end)
    end

    test "is :none without configuration" do
      assert Config.from_env() == :none
    end

    test "reads the form of the guides" do
      Application.put_env(:snakepit, :adapter_module, Snakepit.Adapters.GRPCPython)

      Application.put_env(:snakepit, :grpc_config, %{
        base_port: 50_051,
        port_range: 100,
        max_concurrent_streams: 10,
        connection_timeout: 10_000,
        stream_timeout: 300_000
      })

      Application.put_env(:snakepit, :pool_config, %{pool_size: 16, worker_init_timeout: 30_000})

      assert {:ok, options} = Config.from_env()
      config = Config.new!(options)
      assert config.adapter == Snakepit.Adapters.GRPCPython
      assert config.base_port == 50_051
      assert config.pool_size == 16
    end

    test "reads several adapters and a fallback" do
      Application.put_env(:snakepit, :fallback_adapter, GenericPythonV2)
      assert Config.from_env() == :none
      Application.put_env(:snakepit, :adapters, [GRPCPython, GenericPythonMsgpack])
      assert {:ok, options} = Config.from_env()

      assert [%{adapter: GRPCPython}, %{adapter: GenericPythonMsgpack}] =
               Config.candidates!(options)

      assert Config.new!(options).fallback_adapter == GenericPythonV2
    end

    test "the pool's own setting wins over the one on top" do
      Application.put_env(:snakepit, :worker_init_timeout, 1_000)
      Application.put_env(:snakepit, :pool_config, pool_size: 2)
      assert {:ok, options} = Config.from_env()
      assert Config.new!(options).worker_init_timeout == 1_000

      Application.put_env(:snakepit, :pool_config, %{worker_init_timeout: 2_000})
      assert {:ok, options} = Config.from_env()
      assert Config.new!(options).worker_init_timeout == 2_000
    end

    test "several pools have options of their own" do
      Application.put_env(:snakepit, :pools, a: [pool_size: 1], b: %{})
      assert Config.pools_from_env() == [[name: :a, pool_size: 1], [name: :b]]
      Application.put_env(:snakepit, :pool_config, %{pool_size: 3})
      assert [[pool_size: 3], [name: :a, pool_size: 1], [name: :b]] = Config.pools_from_env()
    end

    test "refuses what it does not know, and says what that may have been" do
      for {key, value, message} <- [
            {:pool_confg, [],
             ~r/config :snakepit: unknown option :pool_confg, did you mean :pool_config/},
            {:pool_config, 4,
             ~r/config :snakepit, pool_config: expected a keyword list .* got 4/},
            {:grpc_config, [:port], ~r/config :snakepit, grpc_config: expected a keyword list/},
            {:pools, [:a], ~r/config :snakepit, pools: expected a keyword list or a map, got/},
            {:pools, [a: 1], ~r/config :snakepit, pools, :a: expected a keyword list .* got 1/}
          ] do
        Application.put_env(:snakepit, key, value)
        assert_raise ArgumentError, message, fn -> Config.pools_from_env() end
        Application.delete_env(:snakepit, key)
      end
    end
  end
end
