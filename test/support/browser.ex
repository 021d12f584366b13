defmodule Snakepit.Test.Browser do
  @moduledoc """
  A Chromium that `test/support/browser/live_page.py` drives: it talks to the test by lines.
  """

  import ExUnit.Assertions

  @python ".venv/bin/python"
  @script "test/support/browser/live_page.py"
  @patience 90_000

  @doc """
  The tag of its tests, to be left out where there is no browser; it says so. Continuous integration has one.
  """
  def exclude do
    missing = Enum.reject(~w(chromium chromedriver), &System.find_executable/1)

    if missing == [] or System.get_env("CI") == "true" do
      []
    else
      IO.puts(
        "The tests of the live page in a browser are skipped: " <>
          "#{Enum.join(missing, " and ")} is not in PATH, see scripts/install-chromium."
      )

      [:browser]
    end
  end

  def open(arguments) do
    Port.open({:spawn_executable, Path.expand(@python)}, [
      :binary,
      :exit_status,
      :stderr_to_stdout,
      line: 65_536,
      args: [@script | arguments]
    ])
  end

  @doc """
  Waits for a line. What comes before is what went wrong, if the browser ends instead.
  """
  def await(port, line, before \\ []) do
    assert_receive {^port, news}, @patience, "the browser did not say #{line}: #{text(before)}"

    case news do
      {:data, {_whole, ^line}} -> :ok
      {:data, {_whole, other}} -> await(port, line, [other | before])
      {:exit_status, status} -> flunk("the browser ended with #{status}: #{text(before)}")
    end
  end

  @doc """
  Waits for its end.
  """
  def await_end(port) do
    assert_receive {^port, {:exit_status, 0}}, @patience
  end

  def tell(port, line), do: Port.command(port, line <> "\n")

  defp text(lines), do: lines |> Enum.reverse() |> Enum.join("\n")
end
