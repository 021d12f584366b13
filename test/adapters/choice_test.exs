defmodule Snakepit.Adapters.ChoiceTest do
  use ExUnit.Case, async: true

  import Snakepit.AdapterFallback
  import Snakepit.Test.PoolHelper

  alias Snakepit.Adapters.{GenericPythonV2, GRPCPython}
  alias Snakepit.{Error, Pool}
  alias Snakepit.Test.{LogTap, OsProcess, PipeAdapter, StrayAdapter, UnstartableAdapter}

  @moduletag :capture_log

  defp transport(pool), do: hd(Snakepit.list_workers(pool)).transport

  describe "adapters:" do
    test "the first that can start is taken, and the log says why those before could not" do
      LogTap.attach()
      pool = start_pool(adapters: [UnstartableAdapter, StrayAdapter, GenericPythonV2, GRPCPython])
      assert transport(pool) == "stdio-json"
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)

      name = inspect(pool)
      assert_receive {:log, "The pool " <> first, %{level: :warning}}
      assert first =~ name <> " cannot start with Snakepit.Test.UnstartableAdapter: "
      assert first =~ "no server here"
      assert_receive {:log, "The pool " <> second, %{level: :warning}}
      assert second =~ name <> " cannot start with Snakepit.Test.StrayAdapter: "
      assert second =~ "Loading the model"
    end

    test "nothing is logged when the first one starts" do
      pool = start_pool(adapters: [GenericPythonV2, UnstartableAdapter])
      assert transport(pool) == "stdio-json"
    end

    test "the pool does not start when none can" do
      Process.flag(:trap_exit, true)
      options = pool_options(unique_name(), adapters: [UnstartableAdapter, StrayAdapter])
      assert {:error, {:shutdown, {_, _, :grpc_unavailable}}} = Pool.start_link(options)
      assert Snakepit.execute("ping", %{}, pool: options[:name]) == {:error, :pool_not_found}
    end

    test "a pool that is killed chooses again" do
      pool = start_pool(adapters: [UnstartableAdapter, GenericPythonV2])
      [{Pool, supervisor, _type, _modules}] = Supervisor.which_children(Pool.supervisor(pool))
      [%{os_pid: os_pid}] = Snakepit.list_workers(pool)
      OsProcess.watch(os_pid)
      kill(supervisor)
      OsProcess.await_ends([os_pid])
      assert {:ok, _pong} = await_up(pool)
    end

    defp await_up(pool) do
      with {:error, _down} <- Snakepit.execute("ping", %{}, pool: pool), do: await_up(pool)
    end

    test "a pool with several adapters stops like any other" do
      pool = start_pool(adapters: [GenericPythonV2, GRPCPython], pool_size: 2)
      os_pids = for %{os_pid: os_pid} <- Snakepit.list_workers(pool), do: OsProcess.watch(os_pid)
      :ok = stop_supervised({Pool, pool})
      OsProcess.await_ends(os_pids)
    end
  end

  describe "execute_with_fallback/3" do
    test "is execute/3 as long as that works" do
      pool = start_pool(adapter: GRPCPython, fallback_adapter: GenericPythonV2)
      assert {:ok, _pong} = execute_with_fallback("ping", %{}, pool: pool)

      assert {:error, %Error{kind: :unknown_command}} =
               execute_with_fallback("x", %{}, pool: pool)

      assert Supervisor.count_children(Pool.supervisor(pool)).supervisors == 1
    end

    test "starts a pool of the fallback when no worker can be reached, once" do
      pool = start_pool(adapter: UnstartableAdapter, fallback_adapter: GenericPythonV2)
      assert Snakepit.execute("ping", %{}, pool: pool) == {:error, :grpc_unavailable}

      os_pids =
        1..8
        |> Task.async_stream(fn _ ->
          {:ok, %{"os_pid" => os_pid}} = execute_with_fallback("os_pid", %{}, pool: pool)
          os_pid
        end)
        |> Enum.map(fn {:ok, os_pid} -> os_pid end)

      assert [os_pid] = Enum.uniq(os_pids)
      fallback = Module.concat(pool, Fallback)
      assert transport(fallback) == "stdio-json"

      # It has the options of the first one, and ends with it.
      assert {:ok, %{"n" => 1}} =
               execute_with_fallback("count_session", %{}, pool: pool, session_id: "s")

      OsProcess.watch(os_pid)
      :ok = stop_supervised({Pool, pool})
      OsProcess.await_ends([os_pid])
    end

    test "goes back when the workers of the first one start" do
      file = Path.join(OsProcess.tmp_dir(), "there")
      python = [env: [UNSTARTABLE_UNLESS: file]]

      pool =
        start_pool(
          adapter: UnstartableAdapter,
          fallback_adapter: GenericPythonV2,
          python: python,
          server_startup_timeout: 30_000
        )

      assert {:ok, %{"message" => "pong"}} = execute_with_fallback("ping", %{}, pool: pool)
      File.touch!(file)
      assert await_first(pool)
    end

    # The foreign server gives no message.
    defp await_first(pool) do
      case execute_with_fallback("ping", %{}, pool: pool) do
        {:ok, %{"message" => "pong"}} -> await_first(pool)
        {:ok, %{"timestamp" => 1.5}} -> true
      end
    end

    test "a fallback that is killed is started again by the next call" do
      pool = start_pool(adapter: UnstartableAdapter, fallback_adapter: PipeAdapter)
      {:ok, %{"os_pid" => os_pid}} = execute_with_fallback("os_pid", %{}, pool: pool)
      OsProcess.watch(os_pid)
      kill(Process.whereis(Pool.supervisor(Module.concat(pool, Fallback))))
      OsProcess.await_ends([os_pid])
      assert {:ok, _pong} = await_fallback(pool)
    end

    defp await_fallback(pool) do
      with {:error, reason} when reason in [:grpc_unavailable, :worker_exited] <-
             execute_with_fallback("ping", %{}, pool: pool),
           do: await_fallback(pool)
    end

    test "is :grpc_unavailable when the fallback cannot start either, or there is none" do
      pool = start_pool(adapter: UnstartableAdapter, fallback_adapter: StrayAdapter)
      result = execute_with_fallback("ping", %{}, pool: pool, timeout: 5_000)
      assert result == {:error, :grpc_unavailable}
      pool = start_server(adapter: UnstartableAdapter)
      worker_failing(pool, 0)
      for index <- 1..(pool.slots.size - 1)//1, do: worker_failing(pool, index)
      result = execute_with_fallback("ping", %{}, pool: pool.config.name)
      assert result == {:error, :grpc_unavailable}
    end

    test "keeps one deadline" do
      pool = start_pool(adapter: UnstartableAdapter, fallback_adapter: PipeAdapter)
      opts = [pool: pool, timeout: 1_000]
      result = execute_with_fallback("sleep", %{ms: 10_000}, opts)
      assert result == {:error, :worker_timeout}
    end

    test "works with several adapters, none of which can start" do
      adapters = [UnstartableAdapter, StrayAdapter]
      pool = start_pool(adapters: adapters, fallback_adapter: GenericPythonV2)
      assert Snakepit.execute("ping", %{}, pool: pool) == {:error, :grpc_unavailable}
      assert {:ok, _pong} = execute_with_fallback("ping", %{}, pool: pool)
    end
  end
end
