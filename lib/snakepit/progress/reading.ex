defmodule Snakepit.Progress.Reading do
  @moduledoc false
  # What one chunk, or one update of a job, says about how far the work is. `:count` stands for a
  # value that is the number of chunks, `:unknown` for a chunk that says nothing.

  defstruct value: nil, total: nil, fraction: nil, message: nil, error: nil, unit: ""

  @type t :: %__MODULE__{
          value: number() | :count | :unknown | nil,
          total: number() | nil,
          fraction: number() | nil,
          message: String.t() | nil,
          error: String.t() | nil,
          unit: String.t()
        }

  @spec read(map(), map()) :: t()
  def read(chunk, options) do
    reading = amount(chunk, options)
    message = text(get(chunk, options[:message])) || reading.message

    %{
      reading
      | message: message,
        error: error(chunk),
        unit: if(options.unit == "", do: reading.unit, else: options.unit)
    }
  end

  defp amount(chunk, %{value: nil, total: nil}), do: guess(chunk)

  defp amount(chunk, %{value: value, total: total}) do
    value = if value, do: number(get(chunk, value)), else: :count
    of(value, number(get(chunk, total)), text(chunk["progress_message"]))
  end

  defp guess(%{"job_id" => _job, "state" => state} = update) do
    fraction = if state == "completed", do: 1, else: number(update["progress"])
    message = text(update["progress_message"]) || if(state != "running", do: state)
    %__MODULE__{fraction: fraction, message: message}
  end

  defp guess(%{"processed_rows" => rows, "total_rows" => total} = chunk)
       when is_number(rows) and is_number(total),
       do: %{of(rows, total, text(chunk["progress_message"])) | unit: "rows"}

  defp guess(%{"chunk_index" => index, "total_chunks" => total} = chunk)
       when is_number(index) and is_number(total),
       do: %{of(index + 1, total, text(chunk["progress_message"])) | unit: "chunks"}

  defp guess(%{"progress_percent" => percent} = chunk) when is_number(percent),
    do: percentage(percent, chunk)

  defp guess(%{"progress" => percent} = chunk) when is_number(percent),
    do: percentage(percent, chunk)

  defp guess(chunk),
    do: %__MODULE__{value: :unknown, message: text(chunk["progress_message"]), unit: "chunks"}

  defp percentage(percent, chunk),
    do: %__MODULE__{fraction: percent / 100, message: text(chunk["progress_message"])}

  defp of(value, total, message), do: %__MODULE__{value: value, total: total, message: message}

  defp error(%{"error" => error, "is_final" => true}), do: text(error) || "failed"

  defp error(%{"job_id" => _job, "state" => state} = update)
       when state in ~w(failed canceled expired),
       do: text(update["error_message"]) || state

  defp error(_chunk), do: nil

  defp get(_chunk, nil), do: nil
  defp get(_chunk, value) when is_number(value), do: value
  defp get(chunk, key) when is_binary(key), do: chunk[key]

  # The final chunk has other keys, for which a function need not be made.
  defp get(%{"is_final" => true}, _fun), do: nil
  defp get(chunk, fun), do: fun.(chunk)

  defp number(value) when is_number(value), do: value
  defp number(_none), do: nil

  defp text(nil), do: nil
  defp text(""), do: nil
  defp text(text) when is_binary(text), do: text
  defp text(other), do: inspect(other, limit: 10, printable_limit: 100)
end
