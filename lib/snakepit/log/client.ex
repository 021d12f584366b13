defmodule Snakepit.Log.Client do
  @moduledoc false
  # Passes on to Logger what the native library has to say. It asks for the next events when it is
  # done with the last, so that they wait where they are bounded.

  use GenServer

  require Logger

  alias Snakepit.GRPC.Native
  alias Snakepit.{Log, Telemetry}

  @levels %{"error" => :error, "warning" => :warning, "info" => :info, "debug" => :debug}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, [])

  @impl true
  def init(_options) do
    # Without the library there is nobody to listen to, and whoever needs it says so.
    with :ok <- Native.loaded(),
         :ok <- Log.apply_to_client(),
         :ok <- Native.log_next() do
      {:ok, nil}
    else
      _no_library -> :ignore
    end
  end

  @impl true
  def handle_info({:snakepit_log, events, dropped}, state) do
    Enum.each(events, &log/1)
    if dropped > 0, do: tell(dropped)
    :ok = Native.log_next()
    {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp log({level, target, message, worker_id, request_id, command}) do
    about = [worker_id: worker_id, request_id: request_id, command: command]
    known = for {key, value} when value != nil <- about, do: {key, value}
    Logger.log(Map.fetch!(@levels, level), message, [source: :client, logger: target] ++ known)
  end

  defp tell(dropped) do
    Telemetry.log_dropped(:client, dropped)
    Logger.warning("#{dropped} events of the native client are not in the log: too many at once.")
  end
end
