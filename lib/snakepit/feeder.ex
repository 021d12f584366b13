defmodule Snakepit.Feeder do
  @moduledoc false
  # Reads an enumerable in a process of its own, when what is made of its elements has to be waited
  # for meanwhile. The feeder belongs to the process that starts it.

  alias Snakepit.Mailbox

  # How long an enumerable may take to clean up when its elements are no longer wanted.
  @cleanup 100

  @doc """
  Runs `feed` and sends its value as `{ref, {:input, value}}`; what it raises comes as
  `{ref, {:input, {:raised, kind, reason, stacktrace}}}`. If it is killed there is
  `{ref, monitor, :process, pid, reason}`.
  """
  @spec start(reference(), (-> term())) :: {pid(), reference()}
  def start(ref, feed) do
    caller = self()

    run = fn ->
      outcome =
        try do
          feed.()
        catch
          kind, reason -> {:raised, kind, reason, __STACKTRACE__}
        end

      send(caller, {ref, {:input, outcome}})
    end

    # Linked, so that it does not outlive a caller that is killed; and monitored, as a caller that
    # traps exits would wait for it for ever.
    :erlang.spawn_opt(run, [:link, monitor: [tag: ref]])
  end

  @doc """
  Ends the feeder: at its next element, of which it hears by `{ref, :over}`, and then its enumerable
  cleans up. One that waits for something else has to be killed. No message of it is left.
  """
  @spec stop({pid(), reference()}, reference()) :: :ok
  def stop({feeder, monitor}, ref) do
    Process.demonitor(monitor, [:flush])
    monitor = Process.monitor(feeder)
    send(feeder, {ref, :over})

    receive do
      {:DOWN, ^monitor, :process, ^feeder, _reason} -> :ok
    after
      @cleanup ->
        Process.unlink(feeder)
        Process.exit(feeder, :kill)

        receive do
          {:DOWN, ^monitor, :process, ^feeder, _reason} -> :ok
        end
    end

    Process.unlink(feeder)
    Mailbox.flush(ref)

    receive do
      {:EXIT, ^feeder, _reason} -> :ok
    after
      0 -> :ok
    end
  end
end
