defmodule Snakepit.Test.AppEnv do
  @moduledoc """
  For tests of the configured pool: the application is as it was when the test has ended.
  """

  import ExUnit.CaptureLog

  @doc """
  A `setup` function.
  """
  def keep(_context) do
    before = Application.get_all_env(:snakepit)

    ExUnit.Callbacks.on_exit(fn ->
      capture_log(fn -> Application.stop(:snakepit) end)

      for {key, _value} <- Application.get_all_env(:snakepit),
          do: Application.delete_env(:snakepit, key)

      Application.put_all_env(snakepit: before)
      :ok = Application.start(:snakepit)
    end)
  end
end
