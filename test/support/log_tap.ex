defmodule Snakepit.Test.LogTap do
  @moduledoc """
  Sends what is logged to the processes that attached themselves, as `{:log, text, metadata}`.

  There is one handler for all tests: when two are removed at the same time, OTP's logger may keep the
  name of one for ever, and whoever asks for the handlers then, as `ExUnit.CaptureLog` does, crashes.
  """

  def start do
    {:ok, _registry} = Registry.start_link(keys: :duplicate, name: __MODULE__)
    :ok = :logger.add_handler(:tap, __MODULE__, %{})
  end

  @doc """
  Attaches the calling process, until it ends.
  """
  def attach do
    {:ok, _registry} = Registry.register(__MODULE__, :log, nil)
    :ok
  end

  @doc false
  def log(%{level: level, msg: {:string, text}, meta: metadata}, _config) do
    log = {:log, IO.chardata_to_string(text), Map.put(metadata, :level, level)}
    for {pid, _value} <- Registry.lookup(__MODULE__, :log), do: send(pid, log)
  end

  def log(_report, _config), do: :ok
end
