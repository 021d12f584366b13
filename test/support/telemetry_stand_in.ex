defmodule Snakepit.Test.TelemetryStandIn do
  @moduledoc """
  Stands in for the `:telemetry` application, which is a Hex package and cannot be had here: a module
  of that name with the same `execute/3`, which is there only while a test has it installed.
  Unlike the real one it does not catch what handlers raise.
  """

  @source """
  defmodule :telemetry do
    def execute(event, measurements, metadata)
        when is_list(event) and is_map(measurements) and is_map(metadata) do
      handler = :persistent_term.get(Snakepit.Test.TelemetryStandIn)
      handler.(event, measurements, metadata)
      :ok
    end
  end
  """

  @doc """
  Has every event handed to `handler`, until the test ends.
  """
  def install(handler) when is_function(handler, 3) do
    :persistent_term.put(__MODULE__, handler)
    unless :code.is_loaded(:telemetry), do: Code.compile_string(@source)
    ExUnit.Callbacks.on_exit(&remove/0)
  end

  @doc """
  Has every event sent to the calling process, as `{:event, name, measurements, metadata}`.
  """
  def install do
    test = self()
    install(fn name, measured, metadata -> send(test, {:event, name, measured, metadata}) end)
  end

  def remove do
    :code.purge(:telemetry)
    :code.delete(:telemetry)
    :code.purge(:telemetry)
    :persistent_term.erase(__MODULE__)
  end
end
