defmodule Snakepit.Progress.Meter do
  @moduledoc false
  # How far one stream is, how fast it goes, and when to say so. Times are milliseconds of a clock that
  # the caller reads.

  alias Snakepit.Progress.Reading

  @enforce_keys [:options, :since]
  defstruct [
    :options,
    :since,
    :base,
    :fraction,
    :value,
    :total,
    :message,
    :ended,
    :problem,
    :shown_at,
    unit: "",
    count: 0,
    tenth: 0,
    told: false
  ]

  @type t :: %__MODULE__{}
  @type view :: %{
          label: String.t(),
          unit: String.t(),
          width: pos_integer(),
          fraction: number() | nil,
          value: number() | nil,
          total: number() | nil,
          rate: float() | nil,
          elapsed: non_neg_integer(),
          left: non_neg_integer() | nil,
          message: String.t() | nil,
          problem: String.t() | nil
        }

  @redraw 100
  @line_soonest 1_000
  @line_latest 10_000

  # Rates of less than that are guesses.
  @measurable 500

  @doc """
  A meter of work that began at `since`; if nobody knows, with its first chunk.
  """
  @spec new(map(), integer() | nil) :: t()
  def new(options, since), do: %__MODULE__{options: options, since: since}

  @spec add(t(), map(), integer()) :: t()
  def add(meter, chunk, now) do
    %{meter | count: meter.count + 1}
    |> take(Reading.read(chunk, meter.options))
    |> begin(now)
  end

  @doc """
  Takes the final chunk, which counts if it has anything to say and there is room for one more.
  """
  @spec finish(t(), map(), integer()) :: t()
  def finish(meter, chunk, now) do
    reading = Reading.read(chunk, meter.options)
    counts = map_size(chunk) > 1 and reading.error == nil and not full?(meter)
    meter = %{meter | count: meter.count + if(counts, do: 1, else: 0)}

    %{take(meter, reading) | ended: now, problem: reading.error}
    |> complete()
    |> begin(now)
  end

  @doc """
  Ends before the final chunk.
  """
  @spec stop(t(), String.t(), integer()) :: t()
  def stop(meter, why, now), do: begin(%{meter | ended: now, problem: why}, now)

  @doc """
  Whether it is time to show something.
  """
  @spec due?(t(), :bar | :lines, integer()) :: boolean()
  def due?(%{shown_at: nil}, :bar, _now), do: true
  def due?(%{shown_at: at}, :bar, now), do: now - at >= @redraw

  def due?(meter, :lines, now) do
    since = now - (meter.shown_at || meter.since)
    since >= @line_latest or (since >= @line_soonest and tenth(meter) > meter.tenth)
  end

  @spec shown(t(), integer()) :: t()
  def shown(meter, now), do: %{meter | shown_at: now, tenth: tenth(meter)}

  @spec view(t(), integer()) :: view()
  def view(meter, now) do
    elapsed = now - meter.since

    %{
      label: meter.options.label,
      width: meter.options.width,
      unit: meter.unit,
      fraction: meter.fraction,
      value: meter.value,
      total: meter.total,
      rate: rate(meter, elapsed),
      elapsed: elapsed,
      left: if(meter.ended, do: nil, else: left(meter, elapsed)),
      message: if(meter.ended, do: nil, else: meter.message),
      problem: meter.problem
    }
  end

  # Chunks are counted until one tells more. What the next ones do not say is as it was.
  defp take(%{told: true} = meter, %{value: :unknown} = reading),
    do: %{meter | message: reading.message || meter.message}

  defp take(meter, %{value: :unknown} = reading),
    do: %{meter | value: meter.count, unit: reading.unit, message: reading.message}

  defp take(%{told: false} = meter, reading), do: take(%{meter | told: true, value: nil}, reading)

  defp take(meter, reading) do
    value = if reading.value == :count, do: meter.count, else: reading.value || meter.value
    total = reading.total || meter.total

    %{
      meter
      | value: value,
        total: total,
        fraction: fraction(value, total) || reading.fraction || meter.fraction,
        message: reading.message,
        unit: if(reading.unit == "", do: meter.unit, else: reading.unit)
    }
  end

  defp fraction(value, total) when is_number(value) and is_number(total) and total > 0,
    do: value / total

  defp fraction(_value, _total), do: nil

  # The rate is that since the call began, or of what came after the first chunk.
  defp begin(%{base: nil, since: nil} = meter, now),
    do: %{meter | since: now, base: {meter.value || 0, meter.fraction || 0}}

  defp begin(%{base: nil} = meter, _now), do: %{meter | base: {0, 0}}
  defp begin(meter, _now), do: meter

  # Whoever told percentages need not have told the last one.
  defp complete(%{problem: nil, value: nil, fraction: fraction} = meter) when fraction != nil,
    do: %{meter | fraction: 1}

  defp complete(meter), do: meter

  defp full?(%{count: count, total: total, options: options}) do
    total = if is_integer(options.total), do: options.total, else: total
    is_number(total) and count >= total
  end

  defp tenth(%{fraction: nil}), do: 0
  defp tenth(%{fraction: fraction}), do: floor(fraction * 10)

  defp rate(%{value: value, base: {base, _fraction}}, elapsed)
       when is_number(value) and value > base and elapsed >= @measurable,
       do: (value - base) * 1000 / elapsed

  defp rate(_meter, _elapsed), do: nil

  defp left(%{fraction: fraction, base: {_value, base}}, elapsed)
       when is_number(fraction) and fraction > base and fraction <= 1 and elapsed >= @measurable,
       do: round(elapsed * (1 - fraction) / (fraction - base))

  defp left(_meter, _elapsed), do: nil
end
