defmodule Snakepit.Worker.Log do
  @moduledoc false
  # Passes on what a worker writes: to Logger, in the name of the process that calls it: its metadata
  # has the worker's id.

  require Logger

  alias Snakepit.Jobs.Progress
  alias Snakepit.Telemetry
  alias Snakepit.Worker.Output

  @levels Map.new(~w(debug info warning error critical)a, &{to_string(&1), &1})

  @typedoc "Whose lines they are."
  @type source :: %{pool: atom(), worker_id: String.t()}

  @spec item(Output.item(), source()) :: :ok
  def item({:text, line}, _source), do: Logger.info(line)

  def item({:control, %{"event" => "log", "message" => message} = event}, _source)
      when is_binary(message) do
    level = Map.get(@levels, event["level"], :info)
    Logger.log(level, message, metadata(event))
  end

  def item({:control, %{"event" => "progress"} = event}, _source), do: Progress.report(event)

  def item({:control, %{"event" => "log_dropped", "count" => count}}, source)
      when is_integer(count),
      do: dropped(count, source)

  def item({:control, %{"event" => "cancelled", "us" => time} = event}, source)
      when is_integer(time) do
    names = %{command: event["command"], request_id: event["request_id"], how: event["how"]}
    call = Map.merge(source, names)
    Telemetry.cancelled(call, nil, System.convert_time_unit(time, :microsecond, :native))
  end

  def item({:control, event}, _source),
    do: Logger.debug("unknown control line: #{inspect(event["event"])}")

  @doc """
  Tells that so many lines of the worker were not logged.
  """
  @spec dropped(non_neg_integer(), source()) :: :ok
  def dropped(0, _source), do: :ok

  def dropped(count, %{worker_id: id}) do
    Telemetry.log_dropped(:worker, count, id)
    Logger.warning("#{count} lines of this worker are not in the log: too many came at once.")
  end

  defp metadata(event) do
    for {key, name} <- [logger: "logger", request_id: "request_id", command: "command"],
        is_binary(event[name]),
        do: {key, event[name]}
  end
end
