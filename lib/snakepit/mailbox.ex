defmodule Snakepit.Mailbox do
  @moduledoc false
  # Messages of something that is over.

  @doc """
  Removes every `{ref, message}`. Where no more are sent, none is left.
  """
  @spec flush(reference()) :: :ok
  def flush(ref) do
    receive do
      {^ref, _late} -> flush(ref)
    after
      0 -> :ok
    end
  end
end
