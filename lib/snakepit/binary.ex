defmodule Snakepit.Binary do
  @moduledoc """
  A binary that Python receives as `bytes`, whatever it contains.

  A plain binary argument arrives as `str` when it is valid UTF-8 and as `bytes`
  otherwise, so the type of raw data would depend on the data. Wrap it with
  `Snakepit.binary/1` to decide.
  """

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary()}
end
