defmodule Bench.Settings do
  @moduledoc false
  # How much is asked. BENCH=full (unless said otherwise), quick or smoke.

  @enforce_keys [:name, :rounds, :share, :tries, :seconds, :payload]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          name: String.t(),
          # How often every question is asked of every system.
          rounds: pos_integer(),
          # How much of what Bench.Asks has is asked in one round.
          share: float(),
          # How often grpcio's pairs are tried to find the fastest; 0 for not at all.
          tries: non_neg_integer(),
          # For what is counted over a time, as idleness is.
          seconds: float(),
          # Bytes of a large argument.
          payload: pos_integer()
        }

  @spec current() :: t()
  def current, do: named(System.get_env("BENCH", "full"))

  defp named("full"), do: settings("full", 7, 0.8, 2, 3.0, 100_000_000)
  defp named("quick"), do: settings("quick", 3, 0.25, 1, 1.0, 100_000_000)
  # Shows that everything works; its figures mean nothing.
  defp named("smoke"), do: settings("smoke", 1, 0.002, 0, 0.1, 4_000_000)
  defp named(other), do: raise(ArgumentError, "BENCH=#{other}: full, quick or smoke is meant")

  defp settings(name, rounds, share, tries, seconds, payload) do
    %__MODULE__{
      name: name,
      rounds: rounds,
      share: share,
      tries: tries,
      seconds: seconds,
      payload: payload
    }
  end

  @doc """
  So many of `count` as are asked, and at least `least`.
  """
  @spec part(t(), pos_integer(), pos_integer()) :: pos_integer()
  def part(%__MODULE__{share: share}, count, least \\ 16), do: max(round(count * share), least)
end
