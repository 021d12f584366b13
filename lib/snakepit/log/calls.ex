defmodule Snakepit.Log.Calls do
  @moduledoc false
  # The line of a call: what it was, how long it took, how it ended. What it was called with stands
  # there only when somebody asked for that, and what Python says of a failure may repeat it.

  require Logger

  alias Snakepit.{Error, Log}

  @longest 500

  @type ending :: {:returned, term()} | {:raised, atom(), term()}

  @doc """
  A call has ended that was made with these arguments; `duration` is in native units.
  """
  @spec ended(map(), map() | nil, ending(), integer()) :: :ok
  def ended(metadata, args, ending, duration) do
    {level, what} = told(ending)
    if Log.tells?(level), do: log(level, metadata, args, what, duration), else: :ok
  end

  defp log(level, metadata, args, what, duration) do
    us = System.convert_time_unit(duration, :native, :microsecond)
    text = "#{metadata.command} #{what} after #{us / 1_000} ms" <> arguments(args)
    about = for {key, value} when value != nil <- known(metadata), do: {key, value}
    Logger.log(level, text, [source: :client] ++ about)
  end

  defp known(metadata), do: Map.take(metadata, [:pool, :command, :request_id, :worker_id])

  defp told({:returned, {:error, reason}}), do: {:info, "failed (#{kind(reason)})"}
  defp told({:returned, _result}), do: {:debug, "ended"}
  defp told({:raised, kind, _reason}), do: {:info, "was left (#{kind})"}

  defp kind(%Error{kind: :python, python_type: type}) when is_binary(type), do: type
  defp kind(%Error{kind: kind}), do: kind
  defp kind(condition), do: condition

  defp arguments(args) do
    if args != nil and Log.arguments?() do
      text = inspect(args, limit: 20, printable_limit: 200)
      cut = String.slice(text, 0, @longest)
      ", called with " <> if(cut == text, do: text, else: cut <> "…")
    else
      ""
    end
  end
end
