defmodule Snakepit.Test.OsProcess do
  @moduledoc """
  Processes of the operating system, as tests see them: their end is a message, not a guess.
  """

  import ExUnit.Assertions

  alias Snakepit.GRPC.Native

  # What the last process may take to go, whatever happened to its parent.
  @patience 2_000

  @doc """
  Begins to watch a process that is there.
  """
  def watch(os_pid) do
    assert alive?(os_pid), "there is no process #{os_pid}"
    :ok = Native.watch_process(os_pid, {:os_process_ended, os_pid})
    os_pid
  end

  @doc """
  Waits for the end of every watched process, two seconds at most.
  """
  def await_ends(os_pids, patience \\ @patience) do
    deadline = System.monotonic_time(:millisecond) + patience

    for os_pid <- os_pids do
      left = max(deadline - System.monotonic_time(:millisecond), 0)
      assert_receive {:os_process_ended, ^os_pid}, left, "process #{os_pid} is still there"
    end
  end

  def alive?(os_pid),
    do: match?({_, 0}, System.cmd("kill", ["-0", "#{os_pid}"], stderr_to_stdout: true))

  @doc """
  Sends a signal, such as `"STOP"`.
  """
  def signal(os_pid, name), do: {_, 0} = System.cmd("kill", ["-#{name}", "#{os_pid}"])

  @doc """
  A directory of the test's own, also when the tests run twice at the same time.
  """
  def tmp_dir do
    name = "test-of-snakepit-#{Base.url_encode64(:crypto.strong_rand_bytes(6))}"
    directory = Path.join(System.tmp_dir!(), name)
    File.mkdir_p!(directory)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(directory) end)
    directory
  end
end
