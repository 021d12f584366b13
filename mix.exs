defmodule Mix.Tasks.Compile.SnakepitNif do
  @moduledoc """
  Builds the Rust NIF with cargo, when its sources changed, to `priv/native/snakepit_nif.so`.

  It is defined in `mix.exs` because a compiler must exist before the code it stands in front of,
  also when Snakepit is a dependency.
  """

  use Mix.Task.Compiler

  alias Mix.Task.Compiler.Diagnostic

  @sources ["native/Cargo.{toml,lock}", "native/{nif,client,log,protocol}/**/*", "proto/**/*"]

  @impl true
  def run(_args) do
    root = Path.dirname(Mix.Project.project_file())
    digest = digest(root)

    if File.exists?(library(root)) and File.read(stamp(root)) == {:ok, digest} do
      {:noop, []}
    else
      build(root, digest)
    end
  end

  @impl true
  def clean do
    root = Path.dirname(Mix.Project.project_file())
    File.rm(library(root))
    File.rm(stamp(root))
    File.rm_rf!(target_dir())
    :ok
  end

  defp build(root, digest) do
    if cargo = System.find_executable("cargo") do
      Mix.shell().info("Compiling the Snakepit NIF with cargo (the first time takes minutes)")
      color = if IO.ANSI.enabled?(), do: "always", else: "never"

      args =
        ~w(build --release --locked --quiet -p snakepit_nif --color #{color}) ++
          ["--target-dir", target_dir()]

      case System.cmd(cargo, args, cd: Path.join(root, "native"), stderr_to_stdout: true) do
        {output, 0} ->
          if output != "", do: Mix.shell().info(String.trim_trailing(output))
          install(root, digest)
          {:ok, []}

        {output, status} ->
          error("cargo build failed with status #{status}\n\n" <> output)
      end
    else
      error(
        "Snakepit's NIF is written in Rust and cargo is not in PATH: " <>
          "install Rust 1.91 or newer, for example with rustup, and try again"
      )
    end
  end

  # A running VM has the old library mapped: it must be replaced, never written into. The digest
  # is the one from before the build, so that an edit made meanwhile is built the next time.
  defp install(root, digest) do
    library = library(root)
    extension = if match?({:unix, :darwin}, :os.type()), do: ".dylib", else: ".so"
    temporary = "#{library}.#{System.pid()}"

    File.mkdir_p!(Path.dirname(library))
    File.cp!(Path.join(target_dir(), "release/libsnakepit_nif" <> extension), temporary)
    File.rename!(temporary, library)
    File.write!(stamp(root), digest)
  end

  defp error(message) do
    Mix.shell().error(message)

    diagnostic = %Diagnostic{
      compiler_name: "snakepit_nif",
      file: Path.expand("native/Cargo.toml"),
      message: message,
      position: 0,
      severity: :error
    }

    {:error, [diagnostic]}
  end

  defp digest(root) do
    files =
      for pattern <- @sources,
          path <- Path.wildcard(Path.join(root, pattern)),
          File.regular?(path),
          do: [Path.relative_to(path, root), 0, File.read!(path), 0]

    [to_string(:erlang.system_info(:system_architecture)), files]
    |> :erlang.md5()
    |> Base.encode16(case: :lower)
  end

  defp library(root), do: Path.join(root, "priv/native/snakepit_nif.so")
  defp stamp(root), do: Path.join(root, "priv/native/snakepit_nif.digest")

  # One for all environments; in an application that depends on Snakepit it is the application's.
  defp target_dir, do: Mix.Project.build_path() |> Path.dirname() |> Path.join("native")
end

defmodule Snakepit.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :snakepit,
      version: @version,
      elixir: "~> 1.18",
      name: "Snakepit",
      description: "Call Python from Elixir, and stream from it, as if it were a local function",
      compilers: [:snakepit_nif] ++ Mix.compilers(),
      elixirc_paths: elixirc_paths(Mix.env()),
      start_permanent: Mix.env() == :prod,
      deps: [],
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [
      mod: {Snakepit.Application, []},
      extra_applications: [:logger, :crypto, inets: :optional, telemetry: :optional]
    ]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # What is left out is for those who work on Snakepit, or was built in the directories that are in.
  defp package do
    [
      licenses: ["Apache-2.0"],
      # For whoever publishes it to fill in.
      links: %{},
      files:
        ~w(lib native proto priv/python priv/js mix.exs .formatter.exs) ++
          ~w(README.md CHANGELOG.md LICENSE),
      exclude_patterns: [
        ~r{(^|/)(__pycache__|node_modules|target|tests?|\.\w+_cache)(/|$)},
        ~r{\.egg-info(/|$)},
        ~r{\.(so|pyd|dylib|pyc)$},
        ~r{^native/\w+/examples(/|$)}
      ]
    ]
  end

  # The guides in the order of reading.
  @guides ~w(getting_started streaming sessions python_handlers jobs) ++
            ~w(configuration errors adapters migration) ++
            ~w(workers deployment observability performance troubleshooting)

  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      assets: %{"guides/images" => "images"},
      extras:
        ["README.md"] ++ guides() ++ Path.wildcard("livebooks/*.livemd") ++ ["CHANGELOG.md"],
      groups_for_extras: [Guides: ~r{^guides/}, Livebooks: ~r{^livebooks/}],
      groups_for_modules: [
        Calls: [
          Snakepit,
          Snakepit.Stream,
          Snakepit.Session,
          Snakepit.Error,
          Snakepit.Array,
          Snakepit.Binary
        ],
        Jobs: [Snakepit.Jobs, Snakepit.Progress],
        Pools: [Snakepit.Pool, Snakepit.Config],
        Observing: [
          Snakepit.Telemetry,
          Snakepit.Metrics,
          Snakepit.Status,
          Snakepit.Log,
          Snakepit.Endpoint
        ],
        Adapters: [~r/^Snakepit\.Adapter/],
        "One worker": [Snakepit.GRPCWorker, Snakepit.Pool.WorkerSupervisor, ~r/^Snakepit\.GRPC\./]
      ]
    ]
  end

  defp guides do
    for name <- @guides, path = "guides/#{name}.md", File.exists?(path), do: path
  end
end
