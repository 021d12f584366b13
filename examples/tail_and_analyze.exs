# Four log files are followed at the same time, and each line that matters is shown the moment it is
# written. One of them is rotated by Erlang's own logger, one is truncated, one is not there yet, and
# of one nobody wants to hear more after its first fatal error. Run it with
#
#     scripts/setup
#     mix run examples/tail_and_analyze.exs

require Logger

defmodule Writers do
  @moduledoc """
  What fills the files. Each line that is looked for has the time at which it was written.
  """

  @turns 60

  def run(directory) do
    path = &Path.join(directory, &1)
    # Rotated whenever it has 2,000 bytes: renamed, and begun anew.
    :ok = log_to(path.("app.log"), max_no_bytes: 2_000, max_no_files: 3)
    db = File.open!(path.("db.log"), [:append, :raw])

    for turn <- 1..@turns do
      if rem(turn, 5) == 0, do: Logger.error("order #{turn} was not paid #{now()}", log: :app)
      Logger.info("order #{turn} was sent to the address that the customer gave", log: :app)

      :ok = :file.write(db, "2025-01-20 15:30:45 INFO query #{turn} took #{turn} ms\n")
      # As logrotate does it with "copytruncate".
      if turn == 30, do: File.write!(path.("db.log"), "")
      if rem(turn, 20) == 0, do: :ok = :file.write(db, "WARN query #{turn} is slow #{now()}\n")

      # Not there until now, and not quite UTF-8.
      if turn == 20,
        do:
          File.write!(
            path.("nginx.log"),
            <<"GET /caf", 0xE9, " ERROR 500 ", now()::binary, "\n">>
          )

      # A line that comes in two parts.
      if rem(turn, 25) == 24, do: File.write!(path.("jobs.log"), "FATAL out of ", [:append])
      if rem(turn, 25) == 0, do: File.write!(path.("jobs.log"), "memory #{now()}\n", [:append])

      Process.sleep(20)
    end

    File.close(db)
  end

  defp log_to(path, config) do
    # By default lines wait for others to be written together with, two seconds at most.
    config =
      Map.new([file: to_charlist(path), modes: [:append, {:delayed_write, 0, 0}]] ++ config)

    ours = fn event, _extra -> if event.meta[:log] == :app, do: event, else: :stop end

    format =
      Logger.Formatter.new(format: "$date $time [$level] $message\n", colors: [enabled: false])

    :logger.add_handler(:app, :logger_std_h, %{
      config: config,
      filters: [ours: {ours, nil}],
      formatter: format
    })
  end

  # To the microsecond, for the reader to see how long the line took.
  defp now, do: "at=#{System.monotonic_time(:microsecond)}"
end

defmodule Tail do
  @moduledoc """
  Follows one file, shows what is found in it, and gives the times that this took, in microseconds.
  """

  def run(path, stop_file) do
    name = Path.basename(path)

    :ok =
      Snakepit.execute_stream(
        "tail_and_analyze",
        %{
          log_path: path,
          patterns: ["FATAL", "(?i)error", "WARN"],
          context_lines: 3,
          from_start: true,
          stop_file: stop_file
        },
        fn
          %{"is_final" => true} = final -> IO.puts(summary(name, final))
          chunk -> show(name, chunk)
        end
      )

    for {:took, microseconds} <- collected(), do: microseconds
  end

  defp show(name, %{"severity" => severity, "log_line" => line} = chunk) do
    [_, written] = Regex.run(~r/at=(-?\d+)/, line)
    send(self(), {:took, System.monotonic_time(:microsecond) - String.to_integer(written)})
    text = line |> String.replace(~r/ at=.*/, "") |> String.slice(0, 80)
    context = length(chunk["context"])
    IO.puts("#{pad(name)} #{pad(severity, 5)} #{text} (after #{context} other lines)")

    if severity == "FATAL" do
      IO.puts("#{pad(name)} is followed no longer: the callback said :halt")
      :halt
    end
  end

  defp summary(name, final) do
    "#{pad(name)} ended by #{final["reason"]}: #{final["lines"]} lines, #{final["matches"]} matches, " <>
      "rotated #{final["rotations"]} times, truncated #{final["truncations"]} times"
  end

  defp collected do
    receive do
      {:took, _} = took -> [took | collected()]
    after
      0 -> []
    end
  end

  defp pad(text, width \\ 9), do: String.pad_trailing(text, width)
end

# What the application logs goes to its file, not here.
:logger.set_handler_config(:default, :level, :none)

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 1, python: [modules: ["snakepit_bridge.examples.logs"]]}],
    strategy: :one_for_one
  )

directory = Path.join(System.tmp_dir!(), "tail_and_analyze-#{System.pid()}")
File.mkdir_p!(directory)
stop_file = Path.join(directory, "stop")

tails =
  for name <- ["app.log", "db.log", "nginx.log", "jobs.log"],
      do: Task.async(Tail, :run, [Path.join(directory, name), stop_file])

Writers.run(directory)
IO.puts("\nThe writers are done: #{Snakepit.get_stats().busy_slots} files are still followed.")
File.touch!(stop_file)
took = tails |> Task.await_many() |> List.flatten() |> Enum.sort()

IO.puts(
  "\n#{length(took)} lines, each shown within #{Enum.at(took, div(length(took), 2)) / 1000} ms " <>
    "of being written (median), and #{List.last(took) / 1000} ms at most."
)

File.rm_rf!(directory)
