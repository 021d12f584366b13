defmodule Snakepit.Test.HTTP1Adapter do
  @moduledoc """
  An adapter whose program listens, but speaks something else.
  """

  @behaviour Snakepit.Adapter

  @impl true
  defdelegate executable_path, to: Snakepit.Test.PipeAdapter

  @impl true
  def script_path, do: Path.expand("test/support/programs/http1_server.py")

  @impl true
  def uses_grpc?, do: true
end
