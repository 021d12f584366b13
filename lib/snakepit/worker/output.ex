defmodule Snakepit.Worker.Output do
  @moduledoc false
  # What a worker writes: text for the log, line by line, and control lines, which begin
  # with a record separator. Bounded: a line of any length is cut, and only the last lines
  # are kept for an error report.

  defstruct parts: [], size: 0, last: []

  @type t :: %__MODULE__{parts: [binary()], size: non_neg_integer(), last: [String.t()]}
  @type item :: {:text, String.t()} | {:control, map()}

  @max_line 65_536
  @keep 20
  @keep_length 500
  @control "\x1e"

  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc """
  Takes what a port in line mode delivers, and gives the items that are complete.
  """
  @spec feed(t(), {:eol | :noeol, binary()}) :: {[item()], t()}
  def feed(%__MODULE__{} = output, {:noeol, part}), do: {[], add(output, part)}

  def feed(%__MODULE__{} = output, {:eol, part}) do
    %{parts: parts, size: size} = add(output, part)
    items = parts |> Enum.reverse() |> IO.iodata_to_binary() |> items(size)
    texts = for {:text, text} <- items, do: shorten(text, @keep_length)

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

  # Text without a line end may stand in front of a control line.
  defp items(line, size) do
    case :binary.split(line, @control) do
      [text] -> text(text, size)
      [text, json] -> text(text, byte_size(text)) ++ control(json)
    end
  end

  defp control(json) do
    case JSON.decode(json) do
      {:ok, %{"event" => _} = event} -> [{:control, event}]
      _other -> text(json, byte_size(json))
    end
  end

  defp text("", _size), do: []

  defp text(line, size) when size > byte_size(line) do
    [{:text, printable(line) <> " [cut: the line has #{size} bytes]"}]
  end

  defp text(line, _size), do: [{:text, printable(line)}]

  defp printable(line), do: String.replace_invalid(line)

  defp shorten(text, length), do: String.slice(text, 0, length)
end
