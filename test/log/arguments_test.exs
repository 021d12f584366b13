defmodule Snakepit.Log.ArgumentsTest do
  # What calls are made with is nobody's business, unless somebody asks for it.
  use ExUnit.Case

  import ExUnit.CaptureLog
  import Snakepit.Test.PoolHelper

  alias Snakepit.{Error, Jobs, Log, Pool}
  alias Snakepit.Test.{Adapters, AppEnv, LogTap}

  @moduletag :capture_log

  @card "4556-7375-8689-9855"

  setup do
    on_exit(fn ->
      Log.put_level(:client, :warning)
      Log.configure!()
    end)
  end

  defp pool(options) do
    python = [modules: ["test_handlers", "logging_handlers"]]
    start_pool([python: python, max_message_size: 1_000_000] ++ options)
  end

  # Everything a call can run into, with the card as an argument. What has been logged, reports of
  # crashes included, is read as a person would see it.
  defp all_about(pool, streams) do
    execute = &Snakepit.execute(&1, &2, pool: pool, request_id: "request of #{&1}")
    {:ok, _} = execute.("echo", %{card: @card})
    {:error, %Error{kind: :unknown_command}} = execute.("ech", %{card: @card})
    {:error, %Error{kind: :invalid_arguments}} = execute.("refuses", %{card: @card})
    {:error, %Error{kind: :invalid_arguments}} = execute.("refuses", %{cart: @card})
    {:error, %Error{kind: :python}} = execute.("fails_with", %{card: @card})
    {:error, %Error{kind: :encoding}} = execute.("cannot_send", %{card: @card})
    {:error, %Error{kind: :encoding}} = execute.("echo", %{card: {@card, self()}})
    {:error, %Error{}} = execute.("echo", %{card: String.duplicate(@card, 100_000)})
    {:error, %Error{}} = Snakepit.execute("echo", [card: @card], pool: pool)

    {:error, :worker_timeout} =
      Snakepit.execute("waits_with", %{card: @card}, pool: pool, timeout: 50)

    if streams do
      args = %{card: @card}
      {:error, %Error{}} = Snakepit.execute_stream("pays", args, & &1, pool: pool)
      :ok = Snakepit.execute_stream("pays", args, fn _ -> :halt end, pool: pool)

      catch_error(
        Snakepit.execute_stream("pays", args, fn _ -> raise "not today" end, pool: pool)
      )

      catch_error("pays" |> Snakepit.stream!(args, pool: pool) |> Enum.to_list())
    end

    {:error, :worker_exited} = execute.("ends_with", %{card: @card})
    {:ok, _} = execute.("echo", %{card: @card})
  end

  # The processes that stand between a caller and a worker, with a job that runs and one that waits.
  defp crash_all(pool) do
    jobs = :"jobs_#{pool}"
    start_supervised!({Jobs, name: jobs, max_concurrent_jobs: 1})
    {:ok, _} = Jobs.submit("waits_with", %{card: @card}, jobs: jobs, pool: pool)
    {:ok, _} = Jobs.submit("waits_with", %{card: @card}, jobs: jobs, pool: pool)
    {:ok, shared} = Pool.Shared.fetch(pool)
    [%{pid: worker}] = Snakepit.list_workers(pool)
    {:ok, board} = Jobs.Board.fetch(jobs)

    for pid <- [board.server, worker, shared.server] do
      monitor = Process.monitor(pid)
      # A call that it does not understand.
      catch_exit(GenServer.call(pid, :nonsense, 5_000))
      assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 5_000
    end
  end

  for adapter <- Adapters.all(), adapter[:language] != :javascript do
    @adapter adapter
    test "they stand in no line of any level: #{adapter.name}" do
      Log.put_level(:client, :trace)
      Log.put_level(:worker, :trace)

      log =
        capture_log(fn ->
          pool = pool(@adapter.options)
          all_about(pool, @adapter.streams)
          stop_supervised!({Pool, pool})
        end)

      # It is there, and tells of the calls.
      assert log =~ "fails_with failed (ValueError) after"
      assert log =~ "echo ended after"
      refute log =~ @card
    end
  end

  test "nor in the reports of processes that crash" do
    log =
      capture_log(fn ->
        pool = pool([])
        crash_all(pool)
      end)

    assert log =~ "terminating"
    refute log =~ @card
  end

  test "nor where somebody inspects what holds them" do
    {:ok, request} = Snakepit.Request.new("echo", %{card: @card}, metadata: %{card: @card})
    refute inspect(request) =~ @card
  end

  test "they do when they are asked for, cut" do
    pool = pool([])
    Application.put_env(:snakepit, :log, client: :debug, arguments: true)
    on_exit(fn -> Application.delete_env(:snakepit, :log) end)
    Log.configure!()
    LogTap.attach()

    long = String.duplicate("x", 10_000)
    {:ok, _} = Snakepit.execute("echo", %{card: @card, long: long}, pool: pool, request_id: "r1")
    assert_receive {:log, "echo ended after" <> text, %{request_id: "r1", level: :debug} = meta}
    assert text =~ @card and String.length(text) < 700
    assert %{command: "echo", pool: ^pool, worker_id: worker_id} = meta
    assert [%{id: ^worker_id}] = Snakepit.list_workers(pool)

    {:error, _} = Snakepit.execute("fails_with", %{card: @card}, pool: pool, request_id: "r2")
    assert_receive {:log, "fails_with failed (ValueError)" <> text, %{request_id: "r2"}}
    assert text =~ @card

    :ok = Snakepit.execute_stream("ping_stream", %{count: 2}, & &1, pool: pool, request_id: "r3")
    assert_receive {:log, "ping_stream ended" <> text, %{request_id: "r3"}}
    assert text =~ "count: 2"
  end

  test "calls have no line of their own unless they are asked for" do
    pool = pool([])
    LogTap.attach()
    {:ok, _} = Snakepit.execute("echo", %{}, pool: pool)
    {:error, _} = Snakepit.execute("fails_with", %{card: "x"}, pool: pool)
    Log.put_level(:client, :info)
    {:ok, _} = Snakepit.execute("echo", %{}, pool: pool)
    {:error, _} = Snakepit.execute("fails_with", %{card: "x"}, pool: pool, request_id: "told")
    assert_receive {:log, "fails_with failed" <> _, %{request_id: "told", level: :info}}
    refute_received {:log, "echo" <> _, _metadata}
    refute_received {:log, "fails_with" <> _, _metadata}
  end

  describe "every error of a call says which call" do
    setup {AppEnv, :keep}

    for adapter <- Adapters.all(), adapter[:language] != :javascript do
      @adapter adapter
      test adapter.name do
        pool = pool(@adapter.options)

        for {command, args} <- [
              {"ech", %{}},
              {"refuses", %{card: "x"}},
              {"fails_with", %{card: "x"}},
              {"cannot_send", %{card: "x"}},
              {"echo", %{card: self()}},
              {"echo", %{card: String.duplicate("x", 2_000_000)}}
            ] do
          options = [pool: pool, request_id: "my own"]
          assert {:error, %Error{} = error} = Snakepit.execute(command, args, options)
          assert %{command: ^command, request_id: "my own"} = error
          assert [%{id: id}] = Snakepit.list_workers(pool)
          assert error.worker_id == id

          if @adapter.streams do
            assert {:error, %Error{} = error} =
                     Snakepit.execute_stream(command, args, & &1, options)

            assert %{command: ^command, request_id: "my own", worker_id: ^id} = error

            assert %Error{command: ^command, request_id: "my own", worker_id: ^id} =
                     catch_error(command |> Snakepit.stream!(args, options) |> Enum.to_list())
          end
        end

        assert {:error, %Error{command: "echo", request_id: "my own"}} =
                 Snakepit.execute("echo", 7, pool: pool, request_id: "my own")
      end
    end
  end
end
