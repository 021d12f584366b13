defmodule Snakepit.Progress.Line do
  @moduledoc false
  # A view of a meter as one line of text, no wider than there is room.

  alias Snakepit.Progress.Meter

  @type format :: %{
          required(:style) => :bar | :lines,
          required(:columns) => pos_integer() | :infinity,
          required(:unicode) => boolean()
        }

  @gap 2
  @least_bar 7
  @least_text 8
  @eighths {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

  # In this order things are shown.
  @order [:label, :percent, :bar, :count, :rate, :elapsed, :left, :problem, :message]

  # In this order they get room; what went wrong leaves some to the figures where there is enough.
  @importance [:percent, :label, :problem, :bar, :left, :count, :elapsed, :rate, :message]
  @wide_importance [:percent, :label, :count, :elapsed, :problem, :bar, :rate]
  @wide 60

  @spec render(Meter.view(), format()) :: String.t()
  def render(view, format) do
    # The last column stays free: a terminal may begin a new line after it.
    room = if format.columns == :infinity, do: 1_000, else: max(format.columns - 1, 1)
    importance = if view.problem != nil and room >= @wide, do: @wide_importance, else: @importance
    texts = for key <- importance, text = text(key, view, format), do: {key, text}
    {kept, used} = fit(texts, room, format)

    bar =
      if is_map_key(kept, :bar),
        do: %{bar: bar(view, min(view.width, @least_bar - 2 + room - used), format)},
        else: %{}

    kept = Map.merge(kept, bar)
    Enum.map_join(for(key <- @order, text = kept[key], do: text), "  ", & &1)
  end

  defp fit(texts, room, format) do
    Enum.reduce(texts, {%{}, 0}, fn {key, text}, {kept, used} ->
      gap = if kept == %{}, do: 0, else: @gap
      free = room - used - gap
      text = cut(text, limit(key, room, free), format)
      width = columns(text)

      if width in 1..free//1,
        do: {Map.put(kept, key, text), used + gap + width},
        else: {kept, used}
    end)
  end

  # What may be shortened, and to what.
  defp limit(:label, room, _free) when room >= 12, do: div(room, 3)
  defp limit(key, _room, free) when key in [:problem, :message] and free >= @least_text, do: free
  defp limit(_key, _room, _free), do: :whole

  defp text(:label, %{label: ""}, _format), do: nil
  defp text(:label, %{label: label}, format), do: clean(label, format)
  defp text(:percent, %{fraction: nil}, _format), do: nil

  defp text(:percent, %{fraction: fraction}, %{style: style}) do
    text = "#{floor(part(fraction) * 100)}%"
    # What stands behind it does not move.
    if style == :bar, do: String.pad_leading(text, 4), else: text
  end

  defp text(:bar, %{fraction: fraction}, %{style: style}) when fraction == nil or style == :lines,
    do: nil

  defp text(:bar, _view, _format), do: String.duplicate(" ", @least_bar)
  defp text(:count, %{value: nil}, _format), do: nil

  defp text(:count, view, format) do
    total = if view.total, do: "/" <> number(view.total), else: ""
    join([number(view.value) <> total, clean(view.unit, format)])
  end

  defp text(:rate, %{rate: nil}, _format), do: nil

  # Of what takes longer than a second, the seconds are easier to imagine.
  defp text(:rate, %{rate: rate}, _format) when rate < 1, do: "#{decimal(1 / rate)} s each"
  defp text(:rate, %{rate: rate}, _format), do: "#{decimal(rate)}/s"
  defp text(:elapsed, view, _format), do: time(view.elapsed)
  defp text(:left, %{left: nil}, _format), do: nil
  defp text(:left, %{left: left}, _format), do: "ETA " <> time(left + 999)
  defp text(:problem, %{problem: nil}, _format), do: nil
  defp text(:problem, %{problem: problem}, format), do: problem |> first_line() |> clean(format)
  defp text(:message, %{message: nil}, _format), do: nil
  defp text(:message, %{message: message}, format), do: message |> first_line() |> clean(format)

  defp bar(%{fraction: fraction}, width, %{unicode: false}) do
    full = floor(part(fraction) * width)
    "[" <> String.duplicate("#", full) <> String.duplicate("-", width - full) <> "]"
  end

  defp bar(%{fraction: fraction}, width, %{unicode: true}) do
    eighths = floor(part(fraction) * width * 8)
    full = div(eighths, 8)
    inside = String.duplicate("█", full) <> elem(@eighths, rem(eighths, 8))
    "│" <> String.pad_trailing(inside, width) <> "│"
  end

  defp part(fraction), do: fraction |> max(0) |> min(1)

  defp number(number) when is_integer(number), do: thousands(number)
  defp number(number), do: decimal(number)

  defp decimal(number) when abs(number) >= 100, do: number |> round() |> thousands()
  defp decimal(number), do: :erlang.float_to_binary(number / 1, decimals: 1)

  defp thousands(number) do
    number |> Integer.to_string() |> String.replace(~r/(?<=\d)(?=(\d{3})+$)/, ",")
  end

  defp time(ms) do
    seconds = div(ms, 1000)
    {hours, minutes, seconds} = {div(seconds, 3600), rem(div(seconds, 60), 60), rem(seconds, 60)}

    if hours > 0,
      do: "#{hours}:#{two(minutes)}:#{two(seconds)}",
      else: "#{minutes}:#{two(seconds)}"
  end

  defp two(number), do: number |> Integer.to_string() |> String.pad_leading(2, "0")

  defp join(texts), do: texts |> Enum.reject(&(&1 == "")) |> Enum.join(" ")

  defp first_line(text), do: text |> String.split(["\n", "\r"], parts: 2) |> hd()

  # Texts come from elsewhere: none may move the cursor, or be what the device cannot write.
  defp clean(text, format) do
    text
    |> String.replace_invalid()
    |> String.replace(~r/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/u, " ")
    |> String.trim()
    |> plain(format)
  end

  defp plain(text, %{unicode: true}), do: text
  defp plain(text, %{unicode: false}), do: String.replace(text, ~r/[^ -~]/u, "?")

  defp cut(text, :whole, _format), do: text

  defp cut(text, limit, format) do
    if columns(text) <= limit do
      text
    else
      mark = if format.unicode, do: "…", else: "..."
      shorten(String.graphemes(text), limit - columns(mark)) <> mark
    end
  end

  defp shorten([grapheme | rest], room) do
    room = room - columns(grapheme)
    if room >= 0, do: grapheme <> shorten(rest, room), else: ""
  end

  defp shorten([], _room), do: ""

  defp columns(text) do
    text
    |> String.graphemes()
    |> Enum.reduce(0, fn <<first::utf8, _::binary>>, sum -> sum + width(first) end)
  end

  # East Asian letters and pictures take two columns.
  defp width(letter)
       when letter in 0x1100..0x115F or letter in 0x2E80..0xA4CF or letter in 0xAC00..0xD7A3 or
              letter in 0xF900..0xFAFF or letter in 0xFE30..0xFE6F or letter in 0xFF00..0xFF60 or
              letter in 0x1F300..0x1FAFF or letter in 0x20000..0x3FFFD,
       do: 2

  defp width(_letter), do: 1
end
