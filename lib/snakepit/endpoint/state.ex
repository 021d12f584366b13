defmodule Snakepit.Endpoint.State do
  @moduledoc false
  # What the live page shows, as JSON. Times are ages, so that the clock of whoever looks does not
  # matter. What users name may be any bytes: it becomes text, and the page shows it as such.

  alias Snakepit.Pool.Shared
  alias Snakepit.Status

  @doc """
  The state for a page that asks again after `interval` milliseconds.
  """
  @spec json(pos_integer()) :: iodata()
  def json(interval) do
    now = DateTime.utc_now()
    snapshot = Status.snapshot()

    JSON.encode_to_iodata!(%{
      "node" => text(snapshot.node),
      "interval" => interval,
      "pools" => Enum.map(snapshot.pools, &plain/1),
      "workers" => Enum.map(snapshot.workers, &worker/1),
      "streams" => Enum.map(snapshot.streams, &stream/1),
      "sessions" => Enum.map(snapshot.sessions, &plain/1),
      "jobs" => %{
        "counts" => snapshot.jobs.counts,
        "latest" => Enum.map(snapshot.jobs.latest, &job(&1, DateTime.to_unix(now, :microsecond)))
      },
      "errors" => Enum.map(snapshot.errors, &error(&1, now))
    })
  end

  @doc """
  The pools that the page calls by that name: one, unless it is that of an atom and of a module.
  """
  @spec pools(String.t()) :: [Shared.t()]
  def pools(name), do: Enum.filter(Shared.all(), &(text(&1.config.name) == name))

  defp worker(worker), do: worker |> Map.drop([:pid, :address, :started_at]) |> plain()

  defp stream(stream) do
    stream
    |> Map.delete(:pid)
    |> Map.put(:id, text(stream.id))
    |> plain()
  end

  defp job(job, now) do
    plain(%{
      id: job["job_id"],
      service: job["jobs"],
      command: job["command"],
      state: job["state"],
      progress: job["progress"],
      message: job["error_message"] || job["progress_message"],
      rows: job["rows"],
      age_ms: div(now - job["submitted_at"], 1000),
      ran_ms: job["started_at"] && div((job["finished_at"] || now) - job["started_at"], 1000)
    })
  end

  defp error(error, now) do
    error
    |> Map.delete(:at)
    |> Map.put(:age_ms, DateTime.diff(now, error.at, :millisecond))
    |> plain()
  end

  defp plain(map) when is_map(map), do: Map.new(map, fn {key, value} -> {key, plain(value)} end)
  defp plain(value) when is_number(value) or is_boolean(value) or is_nil(value), do: value
  defp plain(value), do: text(value)

  defp text(atom) when is_atom(atom),
    do:
      atom |> Atom.to_string() |> String.replace_prefix("Elixir.", "") |> String.replace_invalid()

  defp text(binary) when is_binary(binary), do: String.replace_invalid(binary)
  defp text(number) when is_integer(number), do: Integer.to_string(number)
  defp text(other), do: inspect(other)
end
