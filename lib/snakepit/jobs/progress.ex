defmodule Snakepit.Jobs.Progress do
  @moduledoc false
  # Brings what handlers say of their progress, which a worker writes to its output with the id of
  # the call, to whoever keeps that job.

  alias Snakepit.Jobs.Server

  @patience 1_000

  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_options), do: Registry.child_spec(keys: :unique, name: __MODULE__)

  @doc """
  The calling process runs a job of this id, kept by `server`.
  """
  @spec register(String.t(), pid()) :: :ok
  def register(id, server) do
    {:ok, _registry} = Registry.register(__MODULE__, id, server)
    :ok
  end

  @doc """
  Waits until all that the handler said has gone to the server.
  """
  @spec await_end(String.t()) :: :ok
  def await_end(id) do
    receive do
      {:reports_over, ^id} -> :ok
    after
      # The worker's output is in nobody's way, unless somebody holds it up.
      @patience -> :ok
    end
  end

  @doc """
  What a worker has written. Calls that are no jobs may say what they like.
  """
  @spec report(map()) :: :ok
  def report(%{"request_id" => id, "over" => true}) do
    for {runner, _server} <- lookup(id), do: send(runner, {:reports_over, id})
    :ok
  end

  def report(%{"request_id" => id, "fraction" => fraction} = event) when is_number(fraction) do
    for {_runner, server} <- lookup(id),
        do: Server.progress(server, id, fraction, event["message"])

    :ok
  end

  def report(_event), do: :ok

  defp lookup(id) do
    Registry.lookup(__MODULE__, id)
  rescue
    # Without the application there are no jobs.
    ArgumentError -> []
  end
end
