defmodule Snakepit.Worker.Backoff do
  @moduledoc false
  # How long a worker waits before it starts its process again: not at all after a single
  # crash, longer and longer when it keeps crashing. The jitter keeps the workers of a pool
  # from starting all at once.

  @base 200
  @cap 15_000
  @jitter 0.2

  # So many failures in a row, and nobody waits for the next start any more.
  @open_at 5

  # A process that ran this long is taken for a sound one.
  @sound_after 10_000

  @spec delay(non_neg_integer()) :: non_neg_integer()
  def delay(0), do: 0

  def delay(failures) do
    longest = min(@base * Integer.pow(2, min(failures, 16) - 1), @cap)
    round(longest * (1 - @jitter * :rand.uniform()))
  end

  @doc """
  The failures in a row that count when a process ends that ran for `lifetime` milliseconds.
  """
  @spec after_end(non_neg_integer(), integer()) :: non_neg_integer()
  def after_end(_failures, lifetime) when lifetime >= @sound_after, do: 0
  def after_end(failures, _lifetime), do: failures

  @doc """
  Is the circuit open after so many failures in a row?
  """
  @spec open?(non_neg_integer()) :: boolean()
  def open?(failures), do: failures >= @open_at
end
