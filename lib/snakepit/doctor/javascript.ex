defmodule Snakepit.Doctor.JavaScript do
  @moduledoc false
  # The Node.js of the workers, and the packages that they need.

  alias Snakepit.{Config, Doctor}
  alias Snakepit.Worker.CommandLine

  @oldest "18.19.0"

  @spec node(Config.t()) :: Doctor.result()
  def node(config) do
    with {:ok, path} <- executable(config) do
      case System.cmd(path, ["--version"], stderr_to_stdout: true) do
        {"v" <> version, 0} -> check_age(String.trim(version), path)
        {output, _status} -> {:error, "#{path} does not run: #{String.trim(output)}", install()}
      end
    end
  end

  @doc """
  Are the packages installed? Then the worker's script runs.
  """
  @spec bridge(Config.t()) :: Doctor.result()
  def bridge(%Config{adapter: adapter} = config) do
    with {:ok, path} <- executable(config) do
      case System.cmd(path, [adapter.script_path(), "--version"], stderr_to_stdout: true) do
        {version, 0} -> {:ok, String.trim(version)}
        {output, _status} -> {:error, output |> String.split("\n") |> hd(), setup()}
      end
    end
  end

  @spec setup() :: String.t()
  def setup, do: "npm ci --omit=dev in #{Application.app_dir(:snakepit, "priv/js")}"

  defp install, do: "install Node.js #{@oldest} or newer"

  defp executable(config) do
    with {:error, error} <- CommandLine.executable(config),
         do: {:error, Exception.message(error), install()}
  end

  defp check_age(version, path) do
    if Version.match?(version, ">= #{@oldest}"),
      do: {:ok, "#{version}, #{path}"},
      else: {:error, "#{path} is #{version}: #{@oldest} is needed", install()}
  end
end
