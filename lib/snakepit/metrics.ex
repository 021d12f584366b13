defmodule Snakepit.Metrics do
  @moduledoc """
  Numbers for Prometheus.

      File.write!("/var/lib/node_exporter/snakepit.prom", Snakepit.Metrics.prometheus())

  Calls, streams, the queue, workers, sessions and jobs are counted from the start of the application
  on; what can be read from live state is read when it is asked for. Nothing has to be switched on,
  and counting costs a call less than a microsecond. `Snakepit.Endpoint` serves the text at `/metrics`.

  ## Metrics

  #{Snakepit.Metrics.Catalog.docs()}

  Histograms are in seconds, with buckets from 100 microseconds to 5 minutes. The label `result` is
  `ok`, `raised`, `caller_down`, a condition or kind of `Snakepit.Error`, or `other`. Of the
  commands of a pool the first 200 have their own label, the others share `(other)`, and those that do not exist
  `(unknown)`.
  """

  alias Snakepit.Metrics.{Catalog, Exposition, Live, Store}

  @doc """
  All metrics in the text format of Prometheus, version 0.0.4.

      iex> Snakepit.Metrics.prometheus() =~ ~s(snakepit_workers{pool="default")
      true
  """
  @spec prometheus() :: String.t()
  def prometheus do
    live = Live.read()

    Catalog.all()
    |> Enum.map(fn metric -> Exposition.metric(metric, samples(metric, live)) end)
    |> IO.iodata_to_binary()
  end

  defp samples(%{source: {:live, name}}, live), do: Map.get(live, name, [])
  defp samples(%{source: {:counter, name}}, _live), do: Store.counter(name)
  defp samples(%{source: {:histogram, name}}, _live), do: Store.histogram(name)

  # Calls and streams stand in two histograms, and their outcomes in one counter.
  defp samples(%{source: :outcomes}, _live) do
    for {name, type} <- [call_duration: :call, stream_duration: :stream],
        {{pool, command}, %{outcomes: outcomes}} <- Store.histogram(name),
        {outcome, n} <- outcomes,
        do: {{pool, command, type, outcome}, n}
  end

  defp samples(%{source: {:seconds, name}}, _live) do
    for {labels, ns} <- Store.counter(name), do: {labels, ns / 1.0e9}
  end
end
