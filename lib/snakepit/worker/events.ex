defmodule Snakepit.Worker.Events do
  @moduledoc false
  # What is told of the life of a worker.

  alias Snakepit.{Error, Telemetry}
  alias Snakepit.Pool.Shared
  alias Snakepit.Status.Errors
  alias Snakepit.Worker.Link

  @type worker :: %{
          :pool => Shared.t(),
          :id => String.t(),
          :link => Link.t(),
          :begun => integer() | nil,
          :asked => integer() | nil,
          optional(atom()) => term()
        }

  @spec starting(worker()) :: :ok
  def starting(%{begun: begun} = worker),
    do: Telemetry.event([:worker_start, :start], Telemetry.started_at(begun), metadata(worker))

  @spec started(worker()) :: :ok
  def started(%{begun: begun} = worker) do
    metadata = Map.put(metadata(worker), :os_pid, os_pid(worker))
    Telemetry.event([:worker_start, :stop], %{duration: since(begun)}, metadata)
  end

  @spec not_started(worker(), Error.t()) :: :ok
  def not_started(%{begun: begun} = worker, error) do
    raised = %{kind: :error, reason: error, stacktrace: []}

    Telemetry.event(
      [:worker_start, :exception],
      %{duration: since(begun)},
      Map.merge(metadata(worker), raised)
    )

    remember(worker, error)
  end

  @spec ready(worker(), map()) :: :ok
  def ready(worker, %{transport: transport}) do
    metadata = Map.merge(metadata(worker), %{os_pid: os_pid(worker), transport: transport})
    Telemetry.event([:worker, :ready], %{count: 1}, metadata)
  end

  @spec checked(worker(), {:ok, map()} | {:error, Error.reason()}) :: :ok
  def checked(%{asked: asked} = worker, {:ok, health}) do
    rss = if is_integer(health["rss_bytes"]), do: health["rss_bytes"]
    metadata = Map.merge(metadata(worker), %{result: :ok, reason: nil})
    Telemetry.event([:health, :check], %{duration: since(asked), rss_bytes: rss}, metadata)
  end

  def checked(%{asked: asked} = worker, {:error, reason}) do
    metadata = Map.merge(metadata(worker), %{result: :error, reason: reason})
    Telemetry.event([:health, :check], %{duration: since(asked)}, metadata)
  end

  @doc """
  Its program has ended. One that never was has no end.
  """
  @spec ended(worker(), :stopped | :crashed, String.t()) :: :ok
  def ended(%{link: %{process: nil}}, _why, _how), do: :ok

  def ended(%{begun: begun} = worker, why, how) do
    metadata = Map.merge(metadata(worker), %{os_pid: os_pid(worker), why: why, how: how})
    Telemetry.event([:worker, :exit], %{uptime: since(begun)}, metadata)

    if why == :crashed,
      do: remember(worker, %Error{kind: :worker_crashed, message: "The worker #{how}."}),
      else: :ok
  end

  @spec restarting(worker(), non_neg_integer(), pos_integer()) :: :ok
  def restarting(worker, delay, failures) do
    delay = System.convert_time_unit(delay, :millisecond, :native)
    measurements = %{delay: delay, failures: failures}
    Telemetry.event([:worker, :restart], measurements, metadata(worker))
  end

  # What it wrote is in the log.
  defp remember(worker, %Error{message: message} = error) do
    [first | _lines] = String.split(message, "\n", parts: 2)
    reason = %{error | message: String.replace_suffix(first, " Its last lines:", "")}
    Errors.record(Map.put(metadata(worker), :reason, reason))
  end

  defp metadata(%{pool: pool, id: id}), do: %{pool: pool.config.name, worker_id: id}
  defp os_pid(%{link: %{process: process}}), do: process && process.os_pid
  defp since(time), do: System.monotonic_time() - time
end
