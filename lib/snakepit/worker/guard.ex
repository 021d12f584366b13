defmodule Snakepit.Worker.Guard do
  @moduledoc false
  # A program that knows nothing of us may not end with the VM, or be too busy to notice. A
  # shell in its process group does that for it, and ends the group.
  #
  # Where the standard input is free, its end comes with the end of the VM; where it carries
  # requests, the shell looks every second whether its parent, who starts the VM's
  # programs, is still there.

  alias Snakepit.Worker.CommandLine

  @head "exec 3<&0 4>&2 </dev/null 2>/dev/null\n"
  @wait_for_input "cat <&3"
  @wait_for_parent "exec 3<&-; while kill -0 \"$PPID\"; do sleep 1; done"
  @tail """
  exec >/dev/null 3<&- 4>&-
  trap : TERM
  while :; do
    wait "$program"; status=$?
    kill -0 "$program" || exit "$status"
  done
  """

  @doc """
  The same program under guard; `input` says whose its standard input is.
  """
  @spec wrap(CommandLine.t(), :requests | :free) :: CommandLine.t()
  def wrap(%CommandLine{executable: executable, args: args} = command, input) do
    script = @head <> start(input) <> watch(input) <> @tail
    name = Path.basename(executable)
    %{command | executable: "/bin/sh", args: ["-c", script, name, executable | args]}
  end

  defp start(:requests), do: "\"$@\" <&3 3<&- 2>&4 4>&- & program=$!\n"
  defp start(:free), do: "\"$@\" 3<&- 2>&4 4>&- & program=$!\n"

  defp watch(input) do
    wait = if input == :requests, do: @wait_for_parent, else: @wait_for_input
    "(trap '' TERM; #{wait}; kill -TERM 0; sleep 1; kill -KILL 0) >/dev/null 4>&- &\n"
  end
end
