defmodule Snakepit.Pool.Succession do
  @moduledoc false
  # One process at a time in every place of a pool. A supervisor that is killed leaves its children
  # to themselves, and who starts it again does not wait for their end: two servers would
  # publish and withdraw the same pool, two workers take the same ports.

  @registry __MODULE__

  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_options), do: Registry.child_spec(registry())

  @doc """
  For a pool without the application: what it needs ends with the calling process.
  """
  @spec ensure_started() :: :ok
  def ensure_started do
    _there_already = Registry.start_link(registry())
    :ok
  end

  @doc """
  Waits until whoever has this place has ended, and takes it until the calling process ends.

  A process that takes longer than `patience` milliseconds for its end is killed. The caller
  traps exits, and ends when it is told to while it waits.
  """
  @spec claim(term(), timeout()) :: :ok
  def claim(place, patience) do
    case Registry.register(@registry, place, nil) do
      {:ok, _registry} ->
        :ok

      {:error, {:already_registered, holder}} ->
        await_end(holder, patience)
        claim(place, patience)
    end
  end

  @doc """
  Who has the place.
  """
  @spec holder(term()) :: pid() | nil
  def holder(place) do
    with [{pid, _value}] <- Registry.lookup(@registry, place), do: pid, else: (_none -> nil)
  end

  @doc """
  The names of all places `{module, name}` that are taken.
  """
  @spec names(module()) :: [term()]
  def names(module) do
    Registry.select(@registry, [{{{module, :"$1"}, :_, :_}, [], [:"$1"]}])
  rescue
    # Nobody has a place before the application starts.
    ArgumentError -> []
  end

  defp registry, do: [keys: :unique, name: @registry]

  defp await_end(holder, patience) do
    monitor = Process.monitor(holder)

    receive do
      {:DOWN, ^monitor, :process, ^holder, _reason} -> :ok
      {:EXIT, _parent, reason} -> exit(reason)
    after
      patience ->
        Process.exit(holder, :kill)
        receive do: ({:DOWN, ^monitor, :process, ^holder, _reason} -> :ok)
    end
  end
end
