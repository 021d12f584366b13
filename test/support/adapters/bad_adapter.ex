defmodule Snakepit.Test.BadAdapter do
  @moduledoc """
  An adapter whose server does not keep to the protocol.
  """

  @behaviour Snakepit.Adapter

  @impl true
  defdelegate executable_path, to: Snakepit.Test.PipeAdapter

  @impl true
  def script_path, do: Path.expand("test/support/programs/bad_server.py")

  @impl true
  def uses_grpc?, do: true
end
