defmodule Snakepit.Worker.Guard do
  @moduledoc false
  # A program that knows nothing of us does not end with the VM. A shell in its process group
  # does that for it: it waits for the end of its own standard input, which comes with the end of the
  # VM, and ends the group.

  alias Snakepit.Worker.CommandLine

  @script """
  exec 3<&0 4>&2 </dev/null 2>/dev/null
  "$@" 3<&- 2>&4 4>&- & program=$!
  (trap '' TERM; cat <&3 >/dev/null; kill -TERM 0; sleep 1; kill -KILL 0) >/dev/null 4>&- &
  exec 3<&- 4>&-
  trap : TERM
  while :; do
    wait "$program"; status=$?
    kill -0 "$program" 2>/dev/null || exit "$status"
  done
  """

  @spec wrap(CommandLine.t()) :: CommandLine.t()
  def wrap(%CommandLine{executable: executable, args: args} = command) do
    %{
      command
      | executable: "/bin/sh",
        args: ["-c", @script, Path.basename(executable), executable | args]
    }
  end
end
