defmodule Snakepit.Status.Errors do
  @moduledoc false
  # The last errors, for whoever looks. A ring in an ETS table: whoever meets an error writes it, no
  # process stands in between, and an old one makes room for it.
  #
  # What callers have given to a command is none of its business: of a message that quotes it, that
  # part is left out.

  alias Snakepit.Error

  @conditions Error.conditions()
  @kept 50
  @longest 300

  @type entry :: %{
          number: pos_integer(),
          at: DateTime.t(),
          pool: atom(),
          command: String.t() | nil,
          worker_id: String.t() | nil,
          request_id: String.t() | nil,
          kind: atom(),
          message: String.t()
        }

  @doc """
  Makes the ring. It belongs to the calling process.
  """
  @spec new() :: :ok
  def new do
    :ets.new(__MODULE__, [:named_table, :public, write_concurrency: true])
    :ok
  end

  @doc """
  Notes an error: `:reason`, and of `:pool`, `:command`, `:worker_id` and `:request_id` what is
  known.
  """
  @spec record(%{:reason => Error.reason(), optional(atom()) => term()}) :: :ok
  def record(%{reason: reason} = error) do
    number = :ets.update_counter(__MODULE__, :number, 1, {:number, 0})
    known = if is_struct(reason, Error), do: reason, else: %{}

    entry = %{
      number: number,
      at: DateTime.utc_now(),
      pool: error[:pool],
      command: error[:command] || Map.get(known, :command),
      worker_id: error[:worker_id] || Map.get(known, :worker_id),
      request_id: error[:request_id] || Map.get(known, :request_id),
      kind: kind(reason),
      message: message(reason)
    }

    :ets.insert(__MODULE__, {rem(number, @kept), number, entry})
    :ok
  rescue
    # Without the application nobody keeps them.
    ArgumentError -> :ok
  end

  @doc """
  The last errors, the latest first.
  """
  @spec list() :: [entry()]
  def list do
    __MODULE__
    |> :ets.select([{{:"$1", :"$2", :"$3"}, [], [{{:"$2", :"$3"}}]}])
    |> Enum.sort(:desc)
    |> Enum.map(fn {_number, entry} -> entry end)
  rescue
    ArgumentError -> []
  end

  defp kind(%Error{kind: kind}), do: kind
  defp kind(condition) when is_atom(condition), do: condition
  defp kind(_other), do: :unknown

  defp message(%Error{kind: :python} = error),
    do: shorten("#{error.python_type || "An exception"}: #{error.message}")

  defp message(%Error{kind: :invalid_arguments, message: text}),
    do: text |> String.split(", got", parts: 2) |> hd() |> shorten()

  defp message(%Error{} = error), do: error |> Error.message() |> shorten()
  defp message(condition) when condition in @conditions, do: Error.message(condition)
  defp message(other), do: other |> inspect() |> shorten()

  # What is kept shares no memory with a text that may be long.
  defp shorten(text) do
    text = text |> String.slice(0, @longest + 1) |> String.replace_invalid()

    if String.length(text) > @longest,
      do: String.slice(text, 0, @longest) <> "…",
      else: :binary.copy(text)
  end
end
