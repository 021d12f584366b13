defmodule Mix.Tasks.Snakepit.Setup do
  @shortdoc "Makes a Python virtual environment with snakepit_bridge in it"

  @moduledoc """
  Makes a Python virtual environment for this project and installs `snakepit_bridge` into it.

      $ mix snakepit.setup
      $ mix snakepit.setup --extras grpc,msgpack
      $ mix snakepit.setup --python python3.12 --venv /opt/my_app/venv

  Snakepit's pools use `.venv` in the project's root by themselves. The package comes from
  Snakepit's own sources, so both sides always speak the same protocol, and it is installed
  editable: its native extension is built with cargo and placed beside its sources.

  Run it again at any time. It returns at once when nothing changed, and otherwise builds only
  what did.

  ## Options

    * `--venv PATH` - where to make the environment, `.venv` if not given
    * `--python EXE` - the Python (3.9 or newer) to make it from, `python3` if not given
    * `--extras NAMES` - optional dependencies, separated by commas: `grpc`, `msgpack`, `all`,
      `examples`, `dev`. Those of earlier runs are kept
    * `--quiet` - print errors only
    * `--verbose` - print what pip and cargo print
  """

  use Mix.Task

  @switches [venv: :string, python: :string, extras: :string, quiet: :boolean, verbose: :boolean]
  @oldest_python {3, 9}
  @extras ~w(all dev examples grpc msgpack)
  @native_sources ["native/Cargo.{toml,lock}", "native/{worker,log,protocol}/**/*", "proto/**/*"]

  @impl true
  def run(args) do
    opts = parse!(args)
    package = Path.join(source_root(), "priv/python")
    venv = Path.expand(opts[:venv] || ".venv")

    venv |> ensure_venv(opts) |> ensure_package(venv, package, opts)
  end

  defp parse!(args) do
    {opts, rest} = OptionParser.parse!(args, strict: @switches)
    if rest != [], do: Mix.raise("mix snakepit.setup takes no arguments, got: #{inspect(rest)}")

    extras = String.split(opts[:extras] || "", [",", " "], trim: true)

    case extras -- @extras do
      [] ->
        Keyword.put(opts, :extras, extras)

      [extra | _] ->
        Mix.raise("no extra #{inspect(extra)}, there are: #{Enum.join(@extras, ", ")}")
    end
  end

  defp source_root do
    if Mix.Project.config()[:app] == :snakepit do
      Path.dirname(Mix.Project.project_file())
    else
      Mix.Project.deps_paths()[:snakepit] ||
        Mix.raise("#{inspect(Mix.Project.get())} does not depend on :snakepit")
    end
  end

  ## The environment

  defp ensure_venv(venv, opts) do
    case python_version(venv_python(venv)) do
      {:ok, version} ->
        check_same!(venv, version, opts[:python])
        version

      :error ->
        create_venv(venv, opts)
    end
  end

  defp check_same!(_venv, _version, nil), do: :ok

  defp check_same!(venv, version, python) do
    wanted = check_python!(python)

    if wanted != version do
      Mix.raise(
        "#{venv} has Python #{version}, #{python} is #{wanted}: delete it, or give --venv"
      )
    end
  end

  defp create_venv(venv, opts) do
    python = opts[:python] || Enum.find(~w(python3 python), "python3", &System.find_executable/1)
    version = check_python!(python)
    info(opts, "Making #{Path.relative_to_cwd(venv)} with Python #{version}")

    if match?({_, status} when status != 0, python(python, ["-c", "import venv, ensurepip"])) do
      Mix.raise(
        "#{python} (#{version}) lacks the modules venv and ensurepip. " <>
          "On Debian and Ubuntu they are in a package of their own: apt install python3-venv"
      )
    end

    # --clear: one that is here and does not run was made from a Python that is gone.
    case python(python, ["-m", "venv", "--clear", venv]) do
      {_output, 0} -> version
      {output, _} -> Mix.raise("#{python} -m venv #{venv} failed\n\n" <> output)
    end
  end

  defp check_python!(python) do
    case python_version(python) do
      {:ok, version} ->
        if oldest_supported?(version),
          do: version,
          else:
            Mix.raise("#{python} is Python #{version}, Snakepit needs 3.9 or newer: --python EXE")

      :error ->
        Mix.raise(
          "cannot run #{inspect(python)}: install Python 3.9 or newer " <>
            "(Debian and Ubuntu: apt install python3 python3-venv), or name one with --python EXE"
        )
    end
  end

  defp oldest_supported?(version) do
    [major, minor | _] = version |> String.split(".") |> Enum.map(&String.to_integer/1)
    {major, minor} >= @oldest_python
  end

  defp python_version(python) do
    script = "import sys; print('%d.%d.%d' % sys.version_info[:3])"

    with path when is_binary(path) <- System.find_executable(python),
         {output, 0} <- System.cmd(path, ["-c", script]) do
      {:ok, String.trim(output)}
    else
      _ -> :error
    end
  end

  defp python(python, args), do: System.cmd(python, args, stderr_to_stdout: true)

  defp venv_python(venv), do: Path.join(venv, "bin/python")

  ## The package

  defp ensure_package(version, venv, package, opts) do
    stamp = Path.join(venv, "snakepit.stamp")
    digest = digest(version, package)
    {installed_digest, installed_extras} = read_stamp(stamp)
    extras = Enum.uniq(Enum.sort(installed_extras ++ opts[:extras]))

    if installed_digest == digest and extras == installed_extras and importable?(venv) do
      info(opts, "snakepit_bridge in #{Path.relative_to_cwd(venv)} is up to date")
    else
      File.rm(stamp)
      install(venv, package, extras, opts)
      File.write!(stamp, Enum.join([digest | extras], "\n"))
    end
  end

  defp install(venv, package, extras, opts) do
    if System.find_executable("cargo") == nil do
      Mix.raise(
        "snakepit_bridge has a part in Rust and cargo is not in PATH: " <>
          "install Rust 1.91 or newer, for example with rustup, and try again"
      )
    end

    info(opts, "Installing snakepit_bridge with pip and cargo (the first time takes minutes)")
    detach_extension(package)
    requirement = if extras == [], do: package, else: "#{package}[#{Enum.join(extras, ",")}]"

    {microseconds, {output, status}} =
      :timer.tc(fn -> pip(venv, ["install", "--editable", requirement], opts) end)

    if status != 0, do: Mix.raise("pip install #{requirement} failed\n\n" <> output)

    if not importable?(venv),
      do: Mix.raise("snakepit_bridge is installed in #{venv} but cannot be imported")

    seconds = Float.round(microseconds / 1_000_000, 1)
    info(opts, "Installed snakepit_bridge in #{seconds} s")
  end

  # maturin writes into the file that is there, and running workers have it mapped: leave that one
  # to them, and a copy to maturin.
  defp detach_extension(package) do
    for library <- Path.wildcard(Path.join(package, "snakepit_bridge/_native*.so")) do
      copy = "#{library}.#{System.pid()}"
      File.cp!(library, copy)
      File.rename!(copy, library)
    end
  end

  defp pip(venv, args, opts) do
    env = [
      {"CARGO_TARGET_DIR", target_dir()},
      {"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
      {"PIP_NO_INPUT", "1"}
    ]

    {verbosity, into} = if opts[:verbose], do: {"-v", IO.stream()}, else: {"-q", ""}
    options = [env: env, stderr_to_stdout: true, into: into]
    {output, status} = System.cmd(venv_python(venv), ["-m", "pip", verbosity | args], options)
    {if(is_binary(output), do: output, else: ""), status}
  end

  # Python sources are used where they are: only what decides about the installation counts.
  defp digest(version, package) do
    root = Path.expand("../..", package)

    files =
      for pattern <- ["priv/python/pyproject.toml" | @native_sources],
          path <- Path.wildcard(Path.join(root, pattern)),
          File.regular?(path),
          do: [Path.relative_to(path, root), 0, File.read!(path), 0]

    [version, root, files] |> :erlang.md5() |> Base.encode16(case: :lower)
  end

  defp read_stamp(stamp) do
    case File.read(stamp) do
      {:ok, text} -> text |> String.split("\n") |> then(fn [digest | rest] -> {digest, rest} end)
      {:error, _} -> {nil, []}
    end
  end

  # The extension lies beside the shared sources, where another application may have cleaned.
  defp importable?(venv) do
    script = "import snakepit_bridge._native"

    match?(
      {_, 0},
      System.cmd(venv_python(venv), ["-c", script], cd: venv, stderr_to_stdout: true)
    )
  end

  defp target_dir do
    Mix.Project.build_path() |> Path.dirname() |> Path.join("native-python")
  end

  defp info(opts, message), do: unless(opts[:quiet], do: Mix.shell().info(message))
end
