defmodule Bench.Machine do
  @moduledoc false
  # What the figures were measured on.

  @doc """
  Lines of a name and a text.
  """
  def describe(python) do
    [
      {"machine", "#{processor()}, #{:erlang.system_info(:system_architecture)}"},
      {"cores", "#{System.schedulers_online()}, load before #{load()}#{busy()}"},
      {"Elixir", "#{System.version()} on Erlang/OTP #{otp()}"},
      {"Python", output(python, ["-c", "import platform; print(platform.python_version())"])},
      {"grpcio", output(python, ["-c", "import grpc; print(grpc.__version__)"])},
      {"Rust", "rustc" |> output(["--version"]) |> String.trim_leading("rustc ")}
    ]
  end

  @doc """
  Resident memory of a process in MiB.
  """
  def rss_mib(os_pid) do
    kib = output("ps", ["-o", "rss=", "-p", to_string(os_pid)])
    String.to_integer(kib) / 1024
  end

  defp processor do
    case File.read("/proc/cpuinfo") do
      {:ok, text} -> text |> then(&Regex.run(~r/model name\s*: (.*)/, &1)) |> named()
      {:error, _no_proc} -> output("sysctl", ["-n", "machdep.cpu.brand_string"])
    end
  end

  defp named([_line, name]), do: name
  defp named(nil), do: "unnamed processor"

  defp load do
    [_uptime, averages] = "uptime" |> output([]) |> String.split(~r/load averages?: /)
    {load, _rest} = averages |> String.trim() |> Float.parse()
    load
  end

  defp busy do
    if load() > System.schedulers_online() / 2,
      do: ": the machine is busy, so measure again when it is not",
      else: ""
  end

  defp otp do
    release = System.otp_release()
    path = Path.join([:code.root_dir(), "releases", release, "OTP_VERSION"])

    case File.read(path) do
      {:ok, version} -> String.trim(version)
      {:error, _missing} -> release
    end
  end

  defp output(program, args) do
    {text, 0} = System.cmd(program, args)
    String.trim(text)
  end
end
