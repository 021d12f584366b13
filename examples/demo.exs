# The demo: a real table of 336,776 rows is worked on in Python, chunk by chunk, with progress as
# it happens. Run it with `make demo`.

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
show = fn
  %{"is_final" => true, "final_stats" => stats} -> Demo.Table.print(stats)
  _chunk -> :ok
end

memory = &"worker #{round(&1["memory_usage_mb"])} MB"

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
    Snakepit.Progress.bar(show, message: memory)
  )

# An error keeps its type, its message and its traceback, and the next call works.
{:error, %Snakepit.Error{} = error} =
  Snakepit.execute("compute", %{operation: "divide", a: 1, b: 0})

IO.puts("\nA Python error arrives as #{inspect(error.python_type)}: #{error.message}.")
{:ok, %{"status" => "ok"}} = Snakepit.execute("ping")
