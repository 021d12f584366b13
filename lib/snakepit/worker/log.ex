defmodule Snakepit.Worker.Log do
  @moduledoc false
  # Passes on what a worker writes: to Logger, in the name of the process that calls it: its metadata
  # has the worker's id.

  require Logger

  alias Snakepit.{Adapter, Log, Stdio, Telemetry}
  alias Snakepit.Jobs.Progress
  alias Snakepit.Pool.Shared
  alias Snakepit.Worker.{Link, OsProcess, Output}

  @levels Map.new(~w(debug info warning error critical)a, &{to_string(&1), &1})

  # How long lines that are dropped are counted before the log hears of them.
  @drops_wait 1_000

  @typedoc "The worker whose lines they are."
  @type worker :: %{
          :pool => Shared.t(),
          :id => String.t(),
          :link => Link.t(),
          :drops => reference() | nil,
          optional(atom()) => term()
        }

  @doc """
  Logs an item, unless the calling process has no time for that.
  """
  @spec pass_on(worker, Output.item()) :: worker when worker: worker()
  def pass_on(%{link: %{output: output} = link} = worker, {:text, _line} = item) do
    if Output.crowded?(output) do
      %{worker | link: %{link | output: Output.drop(output)}}
    else
      item(item, worker)
      worker
    end
  end

  def pass_on(worker, item) do
    item(item, worker)
    worker
  end

  @spec item(Output.item(), worker()) :: :ok
  def item({:text, line}, _worker), do: Logger.info(line)

  def item({:control, %{"event" => "log", "message" => message} = event}, _worker)
      when is_binary(message) do
    level = Map.get(@levels, event["level"], :info)
    Logger.log(level, message, metadata(event))
  end

  def item({:control, %{"event" => "progress"} = event}, _worker), do: Progress.report(event)

  def item({:control, %{"event" => "log_dropped", "count" => count}}, worker)
      when is_integer(count),
      do: dropped(count, worker)

  def item({:control, %{"event" => "cancelled", "us" => time} = event}, worker)
      when is_integer(time) do
    names = %{command: event["command"], request_id: event["request_id"], how: event["how"]}
    call = Map.merge(names, %{pool: worker.pool.config.name, worker_id: worker.id})
    Telemetry.cancelled(call, nil, System.convert_time_unit(time, :microsecond, :native))
  end

  def item({:control, event}, _worker),
    do: Logger.debug("unknown control line: #{inspect(event["event"])}")

  @doc """
  Has the log hear of the lines that were dropped, but not of each.
  """
  @spec tell_drops_later(worker) :: worker when worker: worker()
  def tell_drops_later(%{drops: nil, link: %{output: %{dropped: dropped}}} = worker)
      when dropped > 0,
      do: %{worker | drops: :erlang.start_timer(@drops_wait, self(), :drops)}

  def tell_drops_later(worker), do: worker

  @spec tell_drops(worker) :: worker when worker: worker()
  def tell_drops(worker) do
    {dropped, link} = Link.dropped(worker.link)
    dropped(dropped, worker)
    %{worker | link: link, drops: nil}
  end

  defp dropped(0, _worker), do: :ok

  defp dropped(count, %{id: id}) do
    Telemetry.log_dropped(:worker, count, id)
    Logger.warning("#{count} lines of this worker are not in the log: too many came at once.")
  end

  @doc """
  Tells the program from which level on it is to log. Of others than our own workers nobody knows what
  they make of it.
  """
  @spec set_level(Link.t(), Log.level()) :: :ok
  def set_level(%Link{process: nil}, _level), do: :ok

  def set_level(%Link{config: config, process: process, channel: channel}, level) do
    case {Adapter.own_worker?(config.adapter), channel} do
      {false, _channel} -> :ok
      {true, %Stdio.Channel{}} -> Stdio.Channel.set_log_level(channel, level)
      {true, _grpc} -> OsProcess.tell(process, "log_level #{level}")
    end
  end

  defp metadata(event) do
    for {key, name} <- [logger: "logger", request_id: "request_id", command: "command"],
        is_binary(event[name]),
        do: {key, event[name]}
  end
end
