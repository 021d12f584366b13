defmodule Snakepit.Worker.Output do
  @moduledoc false
  # What a worker writes: text for the log, line by line, and control lines, which begin
  # with a record separator. Long ones come in pieces, all but the last marked by a plus sign, and
  # text may stand between these. Bounded: a line of any length is cut, and only the last lines
  # are kept for an error report.

  defstruct parts: [], size: 0, pieces: [], pieces_size: 0, last: []

  @type t :: %__MODULE__{
          parts: [binary()],
          size: non_neg_integer(),
          pieces: [binary()],
          pieces_size: non_neg_integer(),
          last: [String.t()]
        }
  @type item :: {:text, String.t()} | {:control, map()}

  @max_line 65_536
  # A message of that length, each of its characters escaped.
  @max_control 1_000_000
  @keep 20
  @keep_length 500
  @control "\x1e"

  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc """
  Takes what a port in line mode delivers, and gives the items that are complete.
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
    texts = for item <- items, text = text_of(item), do: shorten(text, @keep_length)

    {items,
     %{output | parts: [], size: 0, last: Enum.take(Enum.reverse(texts) ++ output.last, @keep)}}
  end

  @doc """
  The last lines, and what was begun but has no end.
  """
  @spec last_lines(t()) :: [String.t()]
  def last_lines(%__MODULE__{parts: [], last: last}), do: Enum.reverse(last)

  def last_lines(output) do
    {_items, output} = feed(output, {:eol, ""})
    last_lines(output)
  end

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

  defp shorten(text, length), do: String.slice(text, 0, length)
end
