# The demo: a real table of 336,776 rows is worked on in Python, chunk by chunk, with progress as
# it happens. Run it with `make demo`.

defmodule Demo.Progress do
  @moduledoc """
  A progress bar in a terminal, plain lines elsewhere.
  """

  @width 30

  def start, do: %{since: now(), terminal: match?({:ok, _}, :io.columns())}

  def show(%{terminal: true} = progress, chunk) do
    filled = round(chunk["progress_percent"] / 100 * @width)
    bar = String.duplicate("#", filled) <> String.duplicate("-", @width - filled)
    IO.write("\r[#{bar}] #{line(progress, chunk)}")
  end

  # About ten lines are enough for a log.
  def show(%{terminal: false} = progress, %{"chunk_index" => index} = chunk) do
    if rem(index, 8) == 7, do: IO.puts(line(progress, chunk))
  end

  def done(%{terminal: true}), do: IO.puts("")
  def done(_progress), do: :ok

  defp line(%{since: since}, chunk) do
    elapsed = max(now() - since, 1) / 1000
    rows = chunk["processed_rows"]

    Enum.join(
      [
        pad("#{chunk["progress_percent"]} %", 7),
        pad("#{Demo.Table.thousands(round(rows / elapsed))} rows/s", 16),
        pad("#{Float.round(elapsed, 1)} s", 7),
        pad("worker #{round(chunk["memory_usage_mb"])} MB", 13)
      ],
      "  "
    )
  end

  defp pad(text, width), do: String.pad_leading(text, width)
  defp now, do: System.monotonic_time(:millisecond)
end

defmodule Demo.Table do
  @moduledoc """
  The figures of the final chunk as text.
  """

  def print(stats) do
    IO.puts("\ncarrier    flights   departure delay   arrival delay")
    groups = Enum.sort_by(stats["groups"], fn {_carrier, group} -> -group["rows"] end)
    for {carrier, group} <- groups, do: row(carrier, group["rows"], group["columns"])
    row("all", stats["processed"], stats["columns"])
  end

  def thousands(number) do
    number
    |> Integer.to_string()
    |> String.reverse()
    |> String.replace(~r/(\d{3})(?=\d)/, "\\1,")
    |> String.reverse()
  end

  defp row(name, rows, columns) do
    [
      String.pad_trailing(name, 7),
      String.pad_leading(thousands(rows), 11),
      String.pad_leading(minutes(columns["dep_delay"]), 18),
      String.pad_leading(minutes(columns["arr_delay"]), 16)
    ]
    |> IO.puts()
  end

  defp minutes(%{"mean" => mean}), do: :erlang.float_to_binary(mean / 1, decimals: 2) <> " min"
end

{:ok, _pool} =
  Supervisor.start_link(
    [
      {Snakepit.Pool,
       pool_size: 2,
       python: [
         modules: ["snakepit_bridge.examples.flights", "snakepit_bridge.examples.datasets"]
       ]}
    ],
    strategy: :one_for_one
  )

# One call, one result.
{:ok, %{"result" => 8}} = Snakepit.execute("compute", %{operation: "add", a: 5, b: 3})
IO.puts("5 + 3 = 8, says Python.")

{:ok, %{"result" => path}} =
  Snakepit.execute("flights_csv", %{directory: Path.expand("../_build/demo", __DIR__)})

IO.puts("Every flight that left New York in 2013, from #{Path.relative_to_cwd(path)}:\n")

# One call, many chunks: the callback runs here, while Python goes on.
progress = Demo.Progress.start()

:ok =
  Snakepit.execute_stream(
    "process_large_dataset",
    %{
      file_path: path,
      chunk_size: 4_000,
      operations: ["clean", "transform", "aggregate"],
      group_by: "carrier",
      columns: ["dep_delay", "arr_delay"]
    },
    fn
      %{"is_final" => true, "final_stats" => stats} ->
        Demo.Progress.done(progress)
        Demo.Table.print(stats)

      chunk ->
        Demo.Progress.show(progress, chunk)
    end
  )

# An error keeps its type, its message and its traceback, and the next call works.
{:error, %Snakepit.Error{} = error} =
  Snakepit.execute("compute", %{operation: "divide", a: 1, b: 0})

IO.puts("\nA Python error arrives as #{inspect(error.python_type)}: #{error.message}.")
{:ok, %{"status" => "ok"}} = Snakepit.execute("ping")
