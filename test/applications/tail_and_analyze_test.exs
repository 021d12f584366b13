defmodule Snakepit.Applications.TailAndAnalyzeTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO
  import Snakepit.Test.OsProcess, only: [tmp_dir: 0]
  import Snakepit.Test.PoolHelper
  import Snakepit.Test.StreamHelper, only: [await_free: 1, eventually: 1, os_pid: 1]

  alias Snakepit.GRPCWorker

  setup do
    python = [path: [], modules: ["snakepit_bridge.examples.logs"]]
    directory = tmp_dir()

    %{
      pool: start_pool(python: python),
      path: Path.join(directory, "app.log"),
      stop_file: Path.join(directory, "stop"),
      directory: directory
    }
  end

  # The first match says that the file is followed, without a word to the callback before it.
  defp tail(context, args) do
    test = self()
    args = Map.merge(%{log_path: context.path, from_start: true}, Map.new(args))
    opts = [pool: context.pool, timeout: :infinity]
    callback = fn chunk -> send(test, {:chunk, chunk}) && args[:answer] end
    args = Map.delete(args, :answer)
    Task.async(fn -> Snakepit.execute_stream("tail_and_analyze", args, callback, opts) end)
  end

  defp append(path, text), do: File.write!(path, text, [:append])

  defp next_line do
    assert_receive {:chunk, chunk}, 10_000
    chunk["log_line"]
  end

  test "the callback of the user's guide shows what is found, and the end", context do
    %{path: path, stop_file: stop_file} = context

    append(path, """
    2025-01-20 15:30:45 ERROR Database connection failed: timeout after 30s
    2025-01-20 15:30:46 INFO all is well
    2025-01-20 15:30:50 WARN OutOfMemoryError may come
    2025-01-20 15:31:00 FATAL OutOfMemoryError: Java heap space exceeded
    """)

    File.touch!(stop_file)

    output =
      capture_io(fn ->
        args = %{
          log_path: path,
          patterns: ["ERROR", "FATAL", "OutOfMemoryError"],
          context_lines: 3,
          from_start: true,
          stop_file: stop_file
        }

        callback = fn chunk ->
          if chunk["is_final"] do
            IO.puts("📊 Log analysis session ended")
          else
            severity = chunk["severity"]
            timestamp = chunk["timestamp"]
            line = chunk["log_line"]
            pattern = chunk["pattern_matched"]

            emoji =
              case severity do
                "FATAL" -> "💀"
                "ERROR" -> "🚨"
                "WARN" -> "⚠️"
                _ -> "ℹ️"
              end

            IO.puts("#{emoji} [#{timestamp}] #{pattern}: #{String.slice(line, 20, 80)}...")
          end
        end

        assert :ok =
                 Snakepit.execute_stream("tail_and_analyze", args, callback, pool: context.pool)
      end)

    assert output == """
           🚨 [2025-01-20T15:30:45] ERROR: ERROR Database connection failed: timeout after 30s...
           ⚠️ [2025-01-20T15:30:50] OutOfMemoryError: WARN OutOfMemoryError may come...
           💀 [2025-01-20T15:31:00] FATAL: FATAL OutOfMemoryError: Java heap space exceeded...
           📊 Log analysis session ended
           """
  end

  test "a file is followed through its rotation and its truncation", context do
    %{path: path, stop_file: stop_file} = context
    tail = tail(context, stop_file: stop_file, patterns: ["ERROR"])

    append(path, "ERROR 1\n")
    assert next_line() == "ERROR 1"
    File.rename!(path, path <> ".1")
    append(path <> ".1", "ERROR 2\n")
    append(path, "ERROR 3\n")
    assert next_line() == "ERROR 2"
    assert next_line() == "ERROR 3"
    File.write!(path, "ERROR 4\n")
    assert next_line() == "ERROR 4"
    append(path, ["ERROR caf", 0xE9, " ", "and more"])
    append(path, "\n")
    assert next_line() == "ERROR caf\uFFFD and more"

    File.touch!(stop_file)
    assert Task.await(tail) == :ok
    assert_receive {:chunk, %{"is_final" => true} = final}
    assert %{"reason" => "stop_file", "lines" => 5, "matches" => 5} = final
    assert %{"rotations" => 1, "truncations" => 1} = final
  end

  test "four files at once are one worker's work, each with its own lines", context do
    [%{pid: worker}] = Snakepit.list_workers(context.pool)
    test = self()

    log_files =
      for name <- ~w(app db nginx jobs), do: Path.join(context.directory, "#{name}.log")

    handle_log_alert = fn chunk -> send(test, {:alert, chunk}) end

    Enum.each(log_files, fn log_file ->
      Task.start(fn ->
        GRPCWorker.execute_stream(
          worker,
          "tail_and_analyze",
          %{log_path: log_file, stop_file: context.stop_file},
          handle_log_alert
        )
      end)
    end)

    # Who is not there yet is read from its start; who begins late could miss what is there.
    eventually(fn -> Snakepit.get_stats(context.pool).busy_slots == 4 end)
    eventually(fn -> open_descriptors(context.pool, "inotify") == 4 end)

    for turn <- 1..5, log_file <- log_files do
      append(log_file, "INFO no matter\nERROR #{turn} of #{log_file}\n")
      assert_receive {:alert, %{"log_path" => ^log_file} = chunk}, 10_000
      assert chunk["log_line"] == "ERROR #{turn} of #{log_file}"
      assert "INFO no matter" in chunk["context"]
    end

    File.touch!(context.stop_file)

    for _log_file <- log_files,
        do: assert_receive({:alert, %{"is_final" => true, "lines" => 10}}, 10_000)

    await_free(context.pool)
  end

  test "the texts of early callers work: JSON, and another name for the patterns", context do
    append(context.path, "nothing\nan Exception\n")
    patterns = JSON.encode!(["ERROR", "FATAL", "Exception"])
    tail = tail(context, error_patterns: patterns, answer: :halt)
    assert Task.await(tail) == :ok
    assert next_line() == "an Exception"
  end

  test ":halt ends it at once, and nothing stays open", context do
    append(context.path, "ERROR\n")
    before = open_descriptors(context.pool, "")
    assert Task.await(tail(context, answer: :halt)) == :ok
    eventually(fn -> open_descriptors(context.pool, context.path) == 0 end)
    eventually(fn -> open_descriptors(context.pool, "") <= before + 4 end)
    await_free(context.pool)
  end

  test "so does its own time, with a final chunk, and the time of the call, without", context do
    assert Task.await(tail(context, timeout_ms: 50)) == :ok
    assert_receive {:chunk, %{"is_final" => true, "reason" => "timeout", "lines" => 0}}

    opts = [pool: context.pool, timeout: 50]
    args = %{log_path: context.path}
    callback = fn chunk -> flunk("there was a chunk: #{inspect(chunk)}") end

    assert Snakepit.execute_stream("tail_and_analyze", args, callback, opts) ==
             {:error, :worker_timeout}

    eventually(fn -> open_descriptors(context.pool, "inotify") == 0 end)
  end

  test "a slow consumer loses nothing", context do
    append(context.path, for(n <- 1..20_000, do: "ERROR #{n}\n"))
    File.touch!(context.stop_file)
    args = %{log_path: context.path, from_start: true, stop_file: context.stop_file}
    opts = [pool: context.pool, window: 1]

    lines =
      for %{"log_line" => line} <- Snakepit.stream!("tail_and_analyze", args, opts), do: line

    assert lines == for(n <- 1..20_000, do: "ERROR #{n}")
  end

  test "what is no file and no pattern is said to be none", context do
    for {args, message} <- [
          {%{log_path: context.directory}, "not a regular file"},
          {%{log_path: context.path, patterns: ["("]}, "\"(\" is no regular expression"}
        ] do
      assert {:error, %Snakepit.Error{kind: :invalid_arguments} = error} =
               Snakepit.execute_stream("tail_and_analyze", args, & &1, pool: context.pool)

      assert error.message =~ String.replace(message, "\"", "'")
    end
  end

  test "the example follows four files, and ends by itself" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/tail_and_analyze.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ ~r/^db.log +WARN  WARN query 60 is slow \(after 3 other lines\)$/m
    assert output =~ ~r/^nginx.log ERROR GET \/caf\x{FFFD} ERROR 500/mu
    assert output =~ "jobs.log  is followed no longer: the callback said :halt"
    assert output =~ "3 files are still followed"
    assert output =~ ~r/^app.log +ended by stop_file: 72 lines, 12 matches, rotated \d times/m
    assert output =~ ~r/^db.log +ended by .* truncated 1 times$/m
    assert output =~ ~r/^17 lines, each shown within/m
  end

  # How many descriptors of the worker are something whose name has this text in it.
  defp open_descriptors(pool, text) do
    directory = "/proc/#{os_pid(pool)}/fd"

    directory
    |> File.ls!()
    |> Enum.count(fn descriptor ->
      case File.read_link(Path.join(directory, descriptor)) do
        {:ok, name} -> name =~ text
        {:error, _closed} -> false
      end
    end)
  end
end
