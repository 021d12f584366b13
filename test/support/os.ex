defmodule Snakepit.Test.OS do
  @moduledoc """
  Processes of the operating system, by their numbers.
  """

  def signal(os_pid, name),
    do: System.cmd("kill", ["-#{name}", "#{os_pid}"], stderr_to_stdout: true)

  def alive?(os_pid), do: match?({_, 0}, signal(os_pid, "0"))

  @doc """
  Asks the system again and again: the end of a process that is not ours sends no message.
  """
  def await_gone(os_pid), do: if(alive?(os_pid), do: await_gone(os_pid))
end
