defmodule Snakepit.Test.Node do
  @moduledoc """
  Whether tests of JavaScript workers can run here: with Node.js and what `make setup-js` installs.
  """

  @package "priv/js"

  @doc """
  `:ok`, or why not.
  """
  def available do
    cond do
      executable() == nil -> {:error, "there is no Node.js"}
      not File.exists?("#{@package}/node_modules") -> {:error, "make setup-js has not run"}
      true -> :ok
    end
  end

  @doc """
  The tags of those tests, to be left out where they cannot run; it says so.
  """
  def exclude do
    case available() do
      :ok ->
        []

      {:error, reason} ->
        IO.puts("The tests of JavaScript workers are skipped: #{reason}.")
        [:javascript]
    end
  end

  defp executable, do: System.find_executable(System.get_env("SNAKEPIT_NODE", "node"))
end
