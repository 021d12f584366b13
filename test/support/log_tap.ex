defmodule Snakepit.Test.LogTap do
  @moduledoc """
  Sends what is logged to the process that attached it, as `{:log, text, metadata}`.
  """

  @doc false
  def attach do
    id = :"tap_#{System.unique_integer([:positive])}"
    :ok = :logger.add_handler(id, __MODULE__, %{config: %{pid: self()}})
    ExUnit.Callbacks.on_exit(fn -> :logger.remove_handler(id) end)
  end

  @doc false
  def log(%{level: level, msg: message, meta: metadata}, %{config: %{pid: pid}}) do
    with {:string, text} <- message,
         do: send(pid, {:log, IO.chardata_to_string(text), Map.put(metadata, :level, level)})
  end
end
