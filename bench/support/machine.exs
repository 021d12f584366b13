defmodule Bench.Machine do
  @moduledoc false
  # What the figures were measured on.

  alias Bench.Python

  @crates ~w(tonic tokio prost rustler pyo3)
  @packages ~w(grpcio protobuf msgpack)

  @doc """
  Lines of a name and a text.
  """
  @spec describe() :: [{String.t(), String.t()}]
  def describe do
    [
      {"machine", "#{processor()}, #{System.schedulers_online()} cores, #{memory()}"},
      {"system", output("uname", ["-srm"])},
      {"load", load()},
      {"Snakepit", "#{Mix.Project.config()[:version]}#{commit()}"},
      {"Elixir", "#{System.version()} on Erlang/OTP #{otp()}"},
      {"Python", python()},
      {"Rust", "#{"rustc" |> output(["--version"]) |> String.slice(6..-1//1)}; #{crates()}"}
    ]
  end

  defp load do
    [_uptime, averages] = "uptime" |> output([]) |> String.split(~r/load averages?: /)
    {load, _rest} = Float.parse(averages)

    if load > System.schedulers_online() / 2,
      do: "#{load}, THE MACHINE IS BUSY: figures say little, ratios a bit more",
      else: "#{load}"
  end

  defp processor do
    case File.read("/proc/cpuinfo") do
      {:ok, text} -> ~r/model name\s*: (.*)/ |> Regex.run(text) |> named()
      {:error, _no_proc} -> output("sysctl", ["-n", "machdep.cpu.brand_string"])
    end
  end

  defp named([_line, name]), do: name
  defp named(nil), do: "unnamed processor"

  defp memory do
    bytes =
      case File.read("/proc/meminfo") do
        {:ok, text} -> 1024 * (~r/MemTotal:\s*(\d+)/ |> Regex.run(text) |> number())
        {:error, _no_proc} -> "sysctl" |> output(["-n", "hw.memsize"]) |> String.to_integer()
      end

    "#{round(bytes / 1_073_741_824)} GiB"
  end

  defp number([_line, digits]), do: String.to_integer(digits)

  # Which sources, and whether they are as they were committed.
  defp commit do
    case System.cmd("git", ~w(describe --always --dirty), stderr_to_stdout: true) do
      {name, 0} -> " at " <> String.trim(name)
      {_no_repository, _status} -> ""
    end
  end

  defp otp do
    release = System.otp_release()
    path = Path.join([:code.root_dir(), "releases", release, "OTP_VERSION"])

    case File.read(path) do
      {:ok, version} -> String.trim(version)
      {:error, _missing} -> release
    end
  end

  defp python do
    code = """
    import importlib.metadata as m, platform, sys
    print(platform.python_version(), *(f"{n} {m.version(n)}" for n in sys.argv[1:]), sep="; ")
    """

    output(Python.executable(), ["-c", code | @packages])
  end

  defp crates do
    lock = File.read!("native/Cargo.lock")

    Enum.map_join(@crates, ", ", fn name ->
      [_found, version] = Regex.run(~r/name = "#{name}"\nversion = "([^"]+)"/, lock)
      "#{name} #{version}"
    end)
  end

  defp output(program, args) do
    {text, 0} = System.cmd(program, args)
    String.trim(text)
  end
end
