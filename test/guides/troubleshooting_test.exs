defmodule Snakepit.Guides.TroubleshootingTest do
  # Provokes what guides/troubleshooting.md quotes.
  use ExUnit.Case, async: false

  alias Snakepit.Test.{LogTap, PoolHelper, StreamHelper}

  @moduletag :capture_log
  @moduletag :tmp_dir

  setup_all do
    %{guide: File.read!("guides/troubleshooting.md")}
  end

  # `…` in the guide stands for what differs.
  defp quoted(guide, quote) do
    assert guide =~ quote
    quote |> String.split("…") |> Enum.map_join(".*", &Regex.escape/1) |> Regex.compile!()
  end

  defp python(directory, code) do
    File.write!(Path.join(directory, "trouble.py"), code)
    [path: [directory], modules: ["trouble"]]
  end

  defp refused(options) do
    assert {:error, {{_, {:failed_to_start_child, _, reason}}, _child}} =
             PoolHelper.try_pool(options)

    Exception.message(reason)
  end

  defp await_line(line) do
    receive do
      {:log, text, _metadata} -> if text =~ line, do: text, else: await_line(line)
    after
      10_000 -> flunk("the log has no #{inspect(line)}")
    end
  end

  test "no Python", %{guide: guide, tmp_dir: directory} do
    line = quoted(guide, "No Python for the workers: there is no ….venv/bin/python")
    variable = System.get_env("SNAKEPIT_PYTHON")
    System.delete_env("SNAKEPIT_PYTHON")
    on_exit(fn -> if variable, do: System.put_env("SNAKEPIT_PYTHON", variable) end)
    File.cd!(directory, fn -> assert refused([]) =~ line end)
  end

  test "a module that is not there", %{guide: guide} do
    message = refused(python: [path: [], modules: ["reports"]])
    assert message =~ quoted(guide, "cannot import the module …")
    assert message =~ quoted(guide, "ModuleNotFoundError: No module named 'reports'")
    assert message =~ quoted(guide, "ended with status 1 before it was ready. Its last lines:")
  end

  test "a hook that raises", %{guide: guide, tmp_dir: directory} do
    code = """
    from snakepit_bridge import on_start

    @on_start
    def load():
        open("/no/such/model")
    """

    message = refused(python: python(directory, code))
    assert message =~ quoted(guide, "an on_start hook failed")
    assert message =~ "FileNotFoundError"
  end

  test "an import that takes too long", %{guide: guide, tmp_dir: directory} do
    python = python(directory, "import threading\nthreading.Event().wait()")
    message = refused(python: python, server_startup_timeout: 100)
    assert guide =~ "was not ready within 10000 ms"
    assert message =~ "was not ready within 100 ms"
  end

  test "ports that are taken", %{guide: guide} do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    line = quoted(guide, "No free port from … to … for a worker")
    assert refused(base_port: port, port_range: 1) =~ line
  end

  test "a path that is too long for a socket", %{guide: guide, tmp_dir: directory} do
    line = quoted(guide, "The path of a worker socket would be … bytes long")
    long = Path.join(directory, String.duplicate("d", 100))
    File.mkdir_p!(long)
    variable = System.get_env("TMPDIR")
    System.put_env("TMPDIR", long)

    on_exit(fn ->
      if variable, do: System.put_env("TMPDIR", variable), else: System.delete_env("TMPDIR")
    end)

    assert refused([]) =~ line
  end

  test "a Python without grpcio", %{guide: guide, tmp_dir: directory} do
    File.write!(Path.join(directory, "grpc.py"), "raise ImportError('No module named grpc')")
    message = refused(transport: :grpcio, python: [env: %{"PYTHONPATH" => directory}])
    assert message =~ quoted(guide, "the grpcio transport is not installed")
  end

  test "cargo that is not there", %{guide: guide} do
    line = "Snakepit's NIF is written in Rust and cargo is not in PATH"
    assert guide =~ line and File.read!("mix.exs") =~ line
  end

  test "an array as a result", %{guide: guide, tmp_dir: directory} do
    code = """
    import numpy as np
    from snakepit_bridge import command

    @command
    def array():
        return {"array": np.array([1, "a"], dtype=object)}
    """

    pool = PoolHelper.start_pool(python: python(directory, code))
    assert {:error, error} = Snakepit.execute("array", %{}, pool: pool)
    assert error.message =~ quoted(guide, "an array of dtype object cannot be sent to Elixir")
  end

  test "the ends of workers", %{guide: guide, tmp_dir: directory} do
    code = """
    import os
    import time

    from snakepit_bridge import command

    @command
    def die(signal: int):
        os.kill(os.getpid(), signal)
        time.sleep(60)

    @command
    def stuck():
        time.sleep(60)
    """

    pool = PoolHelper.start_pool(python: python(directory, code), cancel_grace_ms: 50)
    LogTap.attach()

    for {signal, status} <- [{9, 137}, {11, 139}] do
      assert guide =~ "| #{status} |"
      assert {:error, :worker_exited} = Snakepit.execute("die", %{signal: signal}, pool: pool)
      await_line(~r/ended with status #{status}/)
    end

    # The deadline counts from the call, also while it waits for the new worker.
    assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    assert {:error, :worker_timeout} = Snakepit.execute("stuck", %{}, pool: pool, timeout: 200)
    await_line(quoted(guide, "… went on for … ms after its cancellation"))

    idempotent = [pool: pool, idempotent: true]
    assert {:error, _reason} = Snakepit.execute("die", %{signal: 9}, idempotent)
    assert await_line(quoted(guide, "Its circuit is open")) =~ "in a row"
  end

  test "a callback that does not know the last chunk", %{guide: guide} do
    pool = StreamHelper.start_pool()
    assert guide =~ "(FunctionClauseError)"

    error =
      assert_raise FunctionClauseError, fn ->
        Snakepit.execute_stream("ping_stream", %{count: 0}, fn %{"index" => _} -> :ok end,
          pool: pool
        )
      end

    assert Exception.message(error) =~
             quoted(guide, "no function clause matching in anonymous fn/1")
  end

  test "a stream that nobody acknowledges", %{guide: guide} do
    pool = StreamHelper.start_pool()
    assert guide =~ "after 256 chunks"
    {:ok, stream} = Snakepit.start_stream("ping_stream", %{count: 300}, pool: pool)
    %{ref: ref} = stream

    for _ <- 1..256, do: assert_receive({:snakepit, ^ref, {:chunk, _chunk}}, 5_000)
    refute_receive {:snakepit, ^ref, _any}, 50

    Snakepit.ack(stream, 256)
    for _ <- 1..44, do: assert_receive({:snakepit, ^ref, {:chunk, _chunk}}, 5_000)
    assert_receive {:snakepit, ^ref, :done}, 5_000
  end
end
