defmodule Snakepit.Doctor.Python do
  @moduledoc false
  # The interpreter of the workers, and the package in it.

  alias Snakepit.{Config, Doctor}
  alias Snakepit.Worker.CommandLine

  @oldest {3, 9}
  @setup "mix snakepit.setup"

  @version "import sys; print('%d.%d.%d' % sys.version_info[:3])"
  @bridge "import snakepit_bridge as b, snakepit_bridge._native as n; print(b.__version__, n.version)"

  @spec interpreter(Config.t()) :: Doctor.result()
  def interpreter(config) do
    with {:ok, path} <- executable(config) do
      case python(path, @version) do
        {version, 0} -> check_age(String.trim(version), path)
        {output, _status} -> {:error, "#{path} does not run: #{last_line(output)}", @setup}
      end
    end
  end

  @doc """
  Can the package and its native part be imported, and are they those of this Snakepit?
  """
  @spec bridge(Config.t()) :: Doctor.result()
  def bridge(config) do
    with {:ok, path} <- executable(config) do
      case python(path, @bridge) do
        {output, 0} -> check_versions(String.split(output))
        {output, _status} -> {:error, "cannot be imported: #{last_line(output)}", @setup}
      end
    end
  end

  defp executable(config) do
    with {:error, error} <- CommandLine.executable(config),
         do: {:error, Exception.message(error), @setup}
  end

  defp check_age(version, path) do
    [major, minor | _] = version |> String.split(".") |> Enum.map(&String.to_integer/1)

    if {major, minor} >= @oldest,
      do: {:ok, "#{version}, #{path}"},
      else: {:error, "#{path} is #{version}: 3.9 is needed", "#{@setup} --python python3.12"}
  end

  defp check_versions([package, native]) do
    case to_string(Application.spec(:snakepit, :vsn)) do
      ^package when native == package -> {:ok, package}
      ours -> {:error, "is #{package}, its native part #{native}, and Snakepit #{ours}", @setup}
    end
  end

  # From a directory without modules: -c puts the current one in front of the path.
  defp python(path, script),
    do: System.cmd(path, ["-c", script], cd: System.tmp_dir!(), stderr_to_stdout: true)

  defp last_line(output), do: output |> String.trim() |> String.split("\n") |> List.last()
end
