defmodule Snakepit.Test.UnstartableAdapter do
  @moduledoc """
  A gRPC adapter whose program is there or not, as the test wants: when the file in the environment
  variable UNSTARTABLE_UNLESS of the pool is there, it is the foreign server.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Test.SeedAdapter

  @script ~s(if [ -e "$UNSTARTABLE_UNLESS" ]; then exec "$@"; fi; echo "no server here"; exit 3)

  @impl true
  def executable_path, do: "/bin/sh"

  @impl true
  def script_args,
    do: ["-c", @script, "sh", SeedAdapter.executable_path(), SeedAdapter.grpc_script_path()]

  @impl true
  def uses_grpc?, do: true
end
