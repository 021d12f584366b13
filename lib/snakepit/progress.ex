defmodule Snakepit.Progress do
  @moduledoc """
  A progress bar around a callback.

      Snakepit.execute_stream("train", args, Snakepit.Progress.bar(total: 10, unit: "epochs"))

  shows in a terminal

      40% [########------------]  4/10 epochs  1.2/s  0:03  ETA 0:05

  with finer blocks where the device takes Unicode, and elsewhere - in a file, a pipe, a CI job -
  a plain line now and then. A callback of one's own is called with every chunk, and what it returns
  counts, so `:halt` works:

      bar =
        Snakepit.Progress.bar(
          fn
            %{"is_final" => true} = chunk -> IO.inspect(chunk["final_stats"])
            chunk -> store(chunk["chunk_stats"])
          end,
          label: "sales"
        )

      Snakepit.execute_stream("process_large_dataset", args, bar)

  ## What it counts

  | given | how far the work is |
  |---|---|
  | `:value` | that value of each chunk, of `:total` |
  | only `:total` | the number of chunks, of `:total` |
  | an update of `Snakepit.Jobs.watch/3` | its `"progress"`, from 0 to 1, with its `"progress_message"` |
  | a chunk with `"processed_rows"`, `"total_rows"` | those |
  | a chunk with `"chunk_index"`, `"total_chunks"` | those |
  | a chunk with `"progress_percent"` or `"progress"` | that percentage |
  | anything else | the number of chunks, of unknown many |

  A handler that yields fractions says so: `value: "progress", total: 1`. Functions are not asked about
  the final chunk.

  ## What it shows

  The percentage, the count, the rate on average, the time since the call began, and the time
  left if the rate stays. A terminal is drawn to ten times a second at most, when a chunk comes, and a
  narrow one gets less. Plain lines are written after 10 more percent, but not within a
  second, or after 10 seconds. They are what is written where `TERM` is `dumb` or `CI` is set, too.
  There are no colours.

  The last line stays: with the error if there was one, `stopped` after `:halt`, and the reason when
  the call ended without a final chunk, by a timeout for example.

  What a callback prints is appended to the bar. `puts/2` puts it above.

  ## Several bars

  The state of a bar belongs to the process that calls it, and ends with the stream, so a bar can
  be used again. Of bars that run at the same time the first one has the terminal's
  line, the others write plain lines; give each a `:label`.
  """

  alias Snakepit.{Error, Schema}
  alias Snakepit.Progress.{Line, Meter, Screen}

  @schema [
    value: [
      type: {:or, [:text, {:function, 1}]},
      doc: "the key of a number in the chunk, or a function that gets it out of the chunk"
    ],
    total: [
      type: {:or, [:pos_integer, :text, {:function, 1}]},
      doc: "how much there is: a number, a key or a function"
    ],
    message: [
      type: {:or, [:text, {:function, 1}]},
      doc:
        "the key of a text to be shown behind the figures, or a function (`\"progress_message\"`)"
    ],
    label: [type: :string, default: "", doc: "stands at the beginning"],
    unit: [type: :string, default: "", doc: "what is counted, such as `\"rows\"`"],
    width: [type: :pos_integer, default: 30, doc: "columns of the bar itself, at most"],
    style: [
      type: {:in, [:auto, :bar, :lines]},
      default: :auto,
      doc: "`:auto` draws a bar in a terminal and writes lines elsewhere"
    ],
    device: [
      type: {:or, [:atom, :pid]},
      default: :stdio,
      doc: "where to, for example `:stderr`"
    ]
  ]

  @bars {__MODULE__, :bars}
  @since {__MODULE__, :since}

  # A process that leaves so many streams in the middle does not show them any more.
  @most 32

  @type chunk :: %{String.t() => term()}
  @type callback :: (chunk() -> term())

  @doc """
  Makes a callback for `Snakepit.execute_stream/4`, `Snakepit.Jobs.watch/3` and all others that take
  one, which shows the progress. It takes options, or a callback and options.

  #{Schema.docs(@schema)}

      iex> {:ok, device} = StringIO.open("")
      iex> bar = Snakepit.Progress.bar(& &1["epoch"], total: 2, unit: "epochs", device: device)
      iex> bar.(%{"epoch" => 1, "is_final" => false})
      1
      iex> bar.(%{"epoch" => 2, "is_final" => false})
      2
      iex> bar.(%{"is_final" => true})
      iex> {"", written} = StringIO.contents(device)
      iex> written
      "100%  2/2 epochs  0:00\\n"
  """
  @spec bar(callback() | keyword()) :: callback()
  def bar(callback_or_options \\ [])
  def bar(callback) when is_function(callback), do: bar(callback, [])
  def bar(options), do: bar(fn _chunk -> :ok end, options)

  @spec bar(callback(), keyword()) :: callback()
  def bar(callback, options) when is_function(callback, 1) do
    where = "Snakepit.Progress.bar/2"
    options = options |> Schema.options!(where) |> Schema.validate!(@schema, where)
    # Tells bars apart, also those that are alike.
    ref = make_ref()
    fn chunk -> step(ref, options, callback, chunk) end
  end

  def bar(callback, _options) do
    raise ArgumentError,
          "expected the callback to be a function of one argument, got: #{inspect(callback)}"
  end

  @doc """
  Writes a line above the bar, if there is one on the device.

      Snakepit.Progress.bar(fn chunk -> Snakepit.Progress.puts(chunk["item"]) end)
  """
  @spec puts(IO.chardata() | String.Chars.t(), IO.device()) :: :ok
  def puts(text, device \\ :stdio) do
    IO.write(device, [Screen.erase(device), to_text(text), "\n"])
    now = now()

    for {_ref, meter, screen} <- Process.get(@bars, []),
        Screen.bar_on?(screen, device),
        do: draw(meter, screen, now)

    :ok
  end

  @doc false
  # Runs a call. Bars that were opened in it and not brought to their end are ended with it.
  @spec during((-> result)) :: result when result: term()
  def during(call) do
    outer = Process.get(@bars, [])
    since = Process.put(@since, now())

    try do
      result = call.()
      leave(outer, result)
      result
    after
      if since, do: Process.put(@since, since), else: Process.delete(@since)
      leave(outer, :raised)
    end
  end

  # The bar ends before the callback has the final chunk, so that what it prints comes behind it.
  defp step(ref, options, callback, %{"is_final" => true} = chunk) do
    {meter, screen} = open(ref, options)
    close(ref, Meter.finish(meter, chunk, now()), screen)
    callback.(chunk)
  end

  defp step(ref, options, callback, chunk) do
    result = callback.(chunk)
    {meter, screen} = open(ref, options)
    now = now()
    meter = Meter.add(meter, chunk, now)

    if result == :halt,
      do: close(ref, Meter.stop(meter, "stopped", now), screen),
      else: keep(ref, show(meter, screen, now), screen)

    result
  end

  defp open(ref, options) do
    case List.keyfind(Process.get(@bars, []), ref, 0) do
      {^ref, meter, screen} -> {meter, screen}
      nil -> {Meter.new(options, Process.get(@since)), take_line(Screen.open(ref, options))}
    end
  end

  # The newest bar of a process has the line.
  defp take_line(%{style: :lines} = screen), do: screen

  defp take_line(screen) do
    bars =
      for {ref, meter, other} <- Process.get(@bars, []),
          do: {ref, meter, Screen.give_up(other, screen)}

    Process.put(@bars, bars)
    screen
  end

  defp show(meter, screen, now) do
    if Meter.due?(meter, screen.style, now),
      do: draw(meter, screen, now),
      else: meter
  end

  defp draw(meter, screen, now) do
    Screen.draw(screen, &Line.render(Meter.view(meter, now), &1))
    Meter.shown(meter, now)
  end

  defp keep(ref, meter, screen) do
    bars = List.keystore(Process.get(@bars, []), ref, 0, {ref, meter, screen})
    Process.put(@bars, Enum.take(bars, -@most))
  end

  defp close(ref, meter, screen) do
    Screen.close(ref, screen, &Line.render(Meter.view(meter, meter.ended), &1))

    case List.keydelete(Process.get(@bars, []), ref, 0) do
      [] -> Process.delete(@bars)
      bars -> Process.put(@bars, bars)
    end
  end

  defp leave(outer, result) do
    for {ref, meter, screen} <- Process.get(@bars, []),
        not List.keymember?(outer, ref, 0),
        do: close(ref, Meter.stop(meter, reason(result), now()), screen)
  end

  defp reason({:error, reason}), do: Error.message(reason)
  defp reason(_other), do: "stopped"

  defp to_text(text) when is_binary(text) or is_list(text), do: text
  defp to_text(text), do: to_string(text)

  defp now, do: System.monotonic_time(:millisecond)
end
