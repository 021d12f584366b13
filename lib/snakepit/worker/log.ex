defmodule Snakepit.Worker.Log do
  @moduledoc false
  # Passes on what a worker writes: to Logger, in the name of the process that calls it: its metadata
  # has the worker's id.

  require Logger

  alias Snakepit.Jobs.Progress
  alias Snakepit.Worker.Output

  @levels Map.new(~w(debug info warning error critical)a, &{to_string(&1), &1})

  @spec item(Output.item()) :: :ok
  def item({:text, line}), do: Logger.info(line)

  def item({:control, %{"event" => "log", "message" => message} = event})
      when is_binary(message) do
    level = Map.get(@levels, event["level"], :info)
    Logger.log(level, message, metadata(event))
  end

  def item({:control, %{"event" => "progress"} = event}), do: Progress.report(event)
  def item({:control, event}), do: Logger.debug("unknown control line: #{inspect(event)}")

  defp metadata(event) do
    for {key, name} <- [logger: "logger", request_id: "request_id"],
        is_binary(event[name]),
        do: {key, event[name]}
  end
end
