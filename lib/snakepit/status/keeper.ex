defmodule Snakepit.Status.Keeper do
  @moduledoc false
  # Owns what is remembered for whoever looks at `Snakepit.Status`. It does nothing else, so that it
  # has no reason to end.

  use GenServer

  alias Snakepit.Status.{Errors, Usage}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, [])

  @impl true
  def init(_options) do
    Errors.new()
    Usage.new()
    {:ok, nil, :hibernate}
  end
end
