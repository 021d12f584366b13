defmodule Snakepit.Worker.Output do
  @moduledoc false
  # What a worker writes: text for the log, line by line, and control lines, which begin
  # with a record separator. Long ones come in pieces, all but the last marked by a plus sign, and
  # text may stand between these. Bounded: a line of any length is cut, lines beyond a budget are
  # counted and dropped, and only the last lines are kept for an error report.

  alias Snakepit.Log.Budget

  defstruct [
    :budget,
    parts: [],
    size: 0,
    pieces: [],
    pieces_size: 0,
    last: [],
    dropped: 0,
    burst: 0,
    estimates: false
  ]

  @type t :: %__MODULE__{
          parts: [binary()],
          size: non_neg_integer(),
          pieces: [binary()],
          pieces_size: non_neg_integer(),
          last: [String.t() | {:tail, binary()}],
          budget: Budget.t(),
          dropped: non_neg_integer(),
          burst: non_neg_integer(),
          estimates: boolean()
        }
  @type item :: {:text, String.t()} | {:control, map()}

  @max_line 65_536
  # A message of that length, each of its characters escaped.
  @max_control 1_000_000
  @keep 20
  @keep_length 500
  @control "\x1e"

  # Where the last lines are looked for in what is dropped.
  @tail 4_096

  # By so many bytes the number of lines is estimated, when they have so many.
  @sample 512
  @many 16

  # The end of a line is looked for in so many bytes at a time.
  @step 256

  # So much may wait to be read, in bytes.
  @waiting 4_000_000

  @spec new() :: t()
  def new, do: %__MODULE__{budget: Budget.new()}

  @doc """
  Takes what a port delivers, and gives the items that are complete. When more text comes than may
  be logged, it is not even cut into lines.
  """
  @spec read(t(), binary()) :: {[item()], t()}
  def read(%__MODULE__{} = output, data) do
    output = %{output | budget: Budget.fill(output.budget), burst: byte_size(data)}

    crowded = crowded?(output)
    budget = if crowded, do: Budget.empty(output.budget), else: output.budget
    read(%{output | budget: budget, estimates: crowded}, data, [])
  end

  @doc """
  Does so much wait to be read by the calling process that nothing can be logged meanwhile? A port
  does not wait.
  """
  @spec crowded?(t()) :: boolean()
  def crowded?(%__MODULE__{burst: burst}) do
    {:message_queue_len, waiting} = Process.info(self(), :message_queue_len)
    waiting * burst > @waiting
  end

  defp read(output, "", items), do: {items |> Enum.reverse() |> Enum.concat(), output}

  defp read(%{size: size} = output, data, items) do
    if size > 0 or Budget.left?(output.budget),
      do: read_line(output, data, items),
      else: skip(output, data, items)
  end

  defp read_line(output, data, items) do
    case :binary.split(data, "\n") do
      [line, rest] ->
        {new, output} = feed(output, {:eol, line})
        read(output, rest, [new | items])

      [part] ->
        {new, output} = feed(output, {:noeol, part})
        read(output, "", [new | items])
    end
  end

  # All up to the next control line, of which the end of a line may be missing.
  defp skip(output, data, items) do
    case :binary.split(data, @control) do
      [text, rest] ->
        read_line(drop(output, text), @control <> rest, items)

      [text] ->
        {lines, part} = whole_lines(text, byte_size(text))
        {new, output} = output |> drop(lines) |> feed({:noeol, part})
        read(output, "", [new | items])
    end
  end

  # Looked for from behind.
  defp whole_lines(text, at) do
    start = max(at - @step, 0)

    case :binary.matches(text, "\n", scope: {start, at - start}) do
      [] when start == 0 ->
        {"", text}

      [] ->
        whole_lines(text, start)

      ends ->
        {last, 1} = List.last(ends)
        {binary_part(text, 0, last + 1), binary_part(text, last + 1, byte_size(text) - last - 1)}
    end
  end

  defp drop(output, ""), do: output

  defp drop(output, lines) do
    start = max(byte_size(lines) - @tail, 0)
    tail = binary_part(lines, start, byte_size(lines) - start)
    # What is kept does not keep all alive that came with it.
    last = [{:tail, :binary.copy(tail)}]
    %{output | dropped: output.dropped + max(count(output, lines), 1), last: last}
  end

  # Short lines come faster than they can be counted.
  defp count(%{estimates: true}, <<sample::binary-size(@sample), _rest::binary>> = lines) do
    case ends(sample) do
      many when many > @many -> div(many * byte_size(lines), @sample)
      _few -> ends(lines)
    end
  end

  defp count(_output, lines), do: ends(lines)

  defp ends(lines), do: length(:binary.matches(lines, "\n"))

  @doc """
  One item that was given is not logged.
  """
  @spec drop(t()) :: t()
  def drop(%__MODULE__{} = output), do: %{output | dropped: output.dropped + 1}

  @doc """
  How many lines were dropped since this was last asked.
  """
  @spec dropped(t()) :: {non_neg_integer(), t()}
  def dropped(%__MODULE__{dropped: dropped} = output), do: {dropped, %{output | dropped: 0}}

  @doc """
  Takes a line, or a part of one, and gives the items that are complete.
  """
  @spec feed(t(), {:eol | :noeol, binary()}) :: {[item()], t()}
  def feed(%__MODULE__{} = output, {kind, part}) do
    # Text without a line end may stand in front of a control line, and be too long to be kept.
    case :binary.split(part, @control) do
      [text, rest] when text != "" or output.size > 0 ->
        {before, output} = take(output, {:eol, text})
        {items, output} = take(output, {kind, @control <> rest})
        {before ++ items, output}

      _no_control_line ->
        take(output, {kind, part})
    end
  end

  defp take(output, {:noeol, part}), do: {[], add(output, part)}

  defp take(output, {:eol, part}) do
    %{parts: parts, size: size} = output = add(output, part)
    {items, output} = parts |> Enum.reverse() |> IO.iodata_to_binary() |> items(size, output)
    texts = for item <- items, text = text_of(item), do: kept(text)
    {items, output} = Enum.flat_map_reduce(items, output, &afford/2)
    {items, keep(%{output | parts: [], size: 0}, texts)}
  end

  # What our side of the worker logs, that side bounds.
  defp afford({:text, text} = item, output) do
    budget = Budget.fill(output.budget)

    if Budget.left?(budget),
      do: {[item], %{output | budget: Budget.take(budget, byte_size(text))}},
      else: {[], %{output | budget: budget, dropped: output.dropped + 1}}
  end

  defp afford(item, output), do: {[item], output}

  defp keep(output, texts),
    do: %{output | last: Enum.take(Enum.reverse(texts) ++ output.last, @keep)}

  @doc """
  The last lines, and what was begun but has no end.
  """
  @spec last_lines(t()) :: [String.t()]
  def last_lines(%__MODULE__{parts: [], last: last}) do
    last |> Enum.reverse() |> Enum.flat_map(&lines/1) |> Enum.take(-@keep)
  end

  def last_lines(output) do
    {_items, output} = feed(output, {:eol, ""})
    last_lines(output)
  end

  defp lines({:tail, tail}) do
    for line <- String.split(tail, "\n", trim: true), do: kept(printable(line))
  end

  defp lines(line), do: [line]

  defp add(output, part) do
    room = max(@max_line - output.size, 0)
    kept = binary_part(part, 0, min(room, byte_size(part)))
    %{output | parts: [kept | output.parts], size: output.size + byte_size(part)}
  end

  defp items(@control <> piece, _size, output), do: control(piece, output)
  defp items(text, size, output), do: {text(text, size), output}

  defp control("+" <> piece, %{pieces_size: size} = output)
       when size + byte_size(piece) <= @max_control do
    {[], %{output | pieces: [piece | output.pieces], pieces_size: size + byte_size(piece)}}
  end

  # Whatever writes so much is not our side of the worker.
  defp control("+" <> _piece, output), do: {[], %{output | pieces: [], pieces_size: 0}}

  defp control(last, output) do
    json = [last | output.pieces] |> Enum.reverse() |> IO.iodata_to_binary()
    output = %{output | pieces: [], pieces_size: 0}

    case JSON.decode(json) do
      {:ok, %{"event" => _} = event} -> {[{:control, event}], output}
      _other -> {text(json, byte_size(json)), output}
    end
  end

  defp text_of({:text, text}), do: text
  # What was logged tells as much about a crash as what was printed.
  defp text_of({:control, %{"event" => "log", "message" => text}}) when is_binary(text), do: text
  defp text_of(_other), do: nil

  defp text("", _size), do: []

  defp text(line, size) when size > byte_size(line) do
    [{:text, printable(line) <> " [cut: the line has #{size} bytes]"}]
  end

  defp text(line, _size), do: [{:text, printable(line)}]

  defp printable(line), do: String.replace_invalid(line)

  # What is kept does not keep all alive that came with it.
  defp kept(text), do: text |> String.slice(0, @keep_length) |> :binary.copy()
end
