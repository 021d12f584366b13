defmodule Bench.Question do
  @moduledoc false
  # A question a user would ask, and who answers it: one table.

  alias Bench.Settings

  @enforce_keys [:key, :title, :note, :figures, :rows]
  defstruct [:key, :title, :note, :figures, :rows, :ratio, :together, at_most: :infinity]

  @typedoc "What a measurement gives under `key`; the first figure of a question is compared."
  @type figure :: %{key: String.t(), title: String.t(), unit: String.t()}
  @typedoc "Who is measured. Figures that it does not have stay empty; `nil` when it cannot be asked."
  @type row :: %{key: atom(), title: String.t(), measure: (-> figures() | nil) | nil}
  @type figures :: %{String.t() => number()}

  @type t :: %__MODULE__{
          key: atom(),
          title: String.t(),
          note: String.t(),
          figures: [figure(), ...],
          rows: [row(), ...],
          # The first row over each other one, or each other one over the first.
          ratio: {:first_over, String.t()} | {:over_first, String.t()} | nil,
          # Measures all rows at once, instead of each by itself.
          together: (-> %{atom() => figures()} | nil) | nil,
          at_most: pos_integer() | :infinity
        }

  @spec rounds(t(), Settings.t()) :: pos_integer()
  def rounds(%__MODULE__{at_most: at_most}, %Settings{rounds: rounds}), do: min(rounds, at_most)

  @spec row(atom(), String.t(), (-> figures() | nil) | nil) :: row()
  def row(key, title, measure \\ nil), do: %{key: key, title: title, measure: measure}

  @spec figure(String.t(), String.t(), String.t()) :: figure()
  def figure(key, title, unit), do: %{key: key, title: title, unit: unit}
end
