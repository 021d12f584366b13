defmodule Snakepit.Test.PipeAdapter do
  @moduledoc """
  An adapter as an application would write it, for a program that speaks JSON through pipes.
  """

  @behaviour Snakepit.Adapter

  @impl true
  def executable_path, do: Path.expand(".venv/bin/python")

  @impl true
  def script_path, do: Path.expand("test/support/programs/pipe_worker.py")
end

defmodule Snakepit.Test.PackedPipeAdapter do
  @moduledoc """
  The same with MessagePack, as the plain library of that name has it.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Test.PipeAdapter

  @impl true
  defdelegate executable_path, to: PipeAdapter

  @impl true
  defdelegate script_path, to: PipeAdapter

  @impl true
  def script_args, do: ["msgpack"]

  @impl true
  def codec, do: :msgpack
end

defmodule Snakepit.Test.StrayAdapter do
  @moduledoc """
  One whose program prints something before its first frame.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Test.PipeAdapter

  @impl true
  defdelegate executable_path, to: PipeAdapter

  @impl true
  defdelegate script_path, to: PipeAdapter

  @impl true
  def script_args, do: ["json", "--stray"]

  @impl true
  def supported_commands, do: ["ping"]
end
