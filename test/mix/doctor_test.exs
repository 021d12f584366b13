defmodule Snakepit.DoctorTest do
  # The environment of the system is shared.
  use ExUnit.Case, async: false

  alias Snakepit.{Config, Doctor}
  alias Snakepit.Doctor.{JavaScript, Python, Toolchain}

  @moduletag :capture_log
  # Each run of mix is a VM of its own.
  @moduletag timeout: 180_000

  setup do: %{tmp_dir: Snakepit.Test.OsProcess.tmp_dir()}

  # A program that says something and ends with a status.
  defp program(directory, name, says, status \\ 0) do
    path = Path.join(directory, name)
    File.write!(path, "#!/bin/sh\necho '#{says}'\nexit #{status}\n")
    File.chmod!(path, 0o755)
    path
  end

  defp with_node(executable) do
    Config.new!(
      adapter: Snakepit.Adapters.GRPCJavaScript,
      javascript: [executable: executable]
    )
  end

  defp with_python(path), do: Config.new!(python: [executable: path])

  defp mix(args, env) do
    System.cmd("mix", args, env: [{"MIX_ENV", "test"} | env], stderr_to_stdout: true)
  end

  test "all is well here, and the exit status is 0" do
    {output, status} = mix(["snakepit.doctor"], [])
    assert {status, output} == {0, output}
    assert output =~ "All is well."
    for line <- String.split(output, "\n"), do: refute(line =~ "FAIL")

    for name <- ~w(Elixir Rust NIF Python snakepit_bridge),
        do: assert(output =~ "ok    #{name}: ")

    assert output =~ ~r/ok    A worker: starts and answers, in \d+ ms/
  end

  test "what is amiss is said with the command that mends it, and the exit status is 1" do
    {output, 1} = mix(["snakepit.doctor"], [{"SNAKEPIT_PYTHON", "/no/such/python"}])
    assert output =~ ~s(FAIL  Python: SNAKEPIT_PYTHON names "/no/such/python")
    assert output =~ "mend: mix snakepit.setup"
    assert output =~ "3 things are amiss."
    assert output =~ "ok    Elixir: "
  end

  test "programs of an adapter of one's own are started, not looked into" do
    for adapter <- [Snakepit.Test.PipeAdapter, Snakepit.Test.StrayAdapter] do
      checks = Doctor.checks([[adapter: adapter]])
      refute List.keymember?(checks, "snakepit_bridge", 0)
      {"A worker", check} = List.keyfind(checks, "A worker", 0)

      case check.() do
        {:ok, "starts and answers" <> _} ->
          assert adapter == Snakepit.Test.PipeAdapter

        {:error, problem, mend} ->
          assert adapter == Snakepit.Test.StrayAdapter
          assert problem =~ "Loading the model"
          assert mend == "look at Snakepit.Test.StrayAdapter"
      end
    end
  end

  test "arguments are refused" do
    assert_raise Mix.Error, ~r/takes no arguments/, fn -> Mix.Tasks.Snakepit.Doctor.run(["x"]) end
  end

  describe "of the languages it says" do
    test "which are too old" do
      assert {:error, "1.17.3 is too old: 1.18.0 is needed", _mend} = Toolchain.elixir("1.17.3")
      assert {:ok, "1.19.0-rc.0"} = Toolchain.elixir("1.19.0-rc.0")
      assert {:error, "26 is too old: 27 is needed", _mend} = Toolchain.otp("26")
    end

    test "that cargo is missing, old or broken", %{tmp_dir: directory} do
      assert {:error, "cargo is not in PATH" <> _, "curl" <> _} = Toolchain.cargo("no-such-cargo")

      old = program(directory, "old", "cargo 1.80.1 (376290515 2024-07-16)")
      assert {:error, "1.80.1 is too old" <> _, "rustup update stable"} = Toolchain.cargo(old)

      broken = program(directory, "broken", "no toolchain", 1)
      assert {:error, "cargo --version failed: no toolchain", _mend} = Toolchain.cargo(broken)
    end
  end

  describe "of Python it says" do
    test "that the interpreter is missing, old or broken", %{tmp_dir: directory} do
      assert {:error, missing, "mix snakepit.setup"} =
               Python.interpreter(with_python("/no/python"))

      assert missing =~ ~s("/no/python")

      old = program(directory, "old", "3.8.10")

      assert {:error, message, "mix snakepit.setup --python" <> _} =
               Python.interpreter(with_python(old))

      assert message == "#{old} is 3.8.10: 3.9 is needed"

      broken = program(directory, "broken", "cannot load libpython", 127)
      assert {:error, message, _mend} = Python.interpreter(with_python(broken))
      assert message == "#{broken} does not run: cannot load libpython"
    end

    test "that the package is missing or another one", %{tmp_dir: directory} do
      empty =
        program(directory, "empty", "ModuleNotFoundError: No module named snakepit_bridge", 1)

      assert {:error, message, "mix snakepit.setup"} = Python.bridge(with_python(empty))
      assert message == "cannot be imported: ModuleNotFoundError: No module named snakepit_bridge"

      other = program(directory, "other", "0.0.1 0.0.2")
      assert {:error, message, _mend} = Python.bridge(with_python(other))
      assert message =~ "is 0.0.1, its native part 0.0.2, and Snakepit "
    end

    test "that no worker comes up, and why", %{tmp_dir: directory} do
      broken = program(directory, "broken", "no room for a worker", 3)
      assert {:error, message, _mend} = Doctor.Worker.check(with_python(broken))
      assert message =~ "ended with status 3 before it was ready"
      assert message =~ "no room for a worker"
    end
  end

  describe "of JavaScript it says" do
    test "that Node.js is missing, broken or too old", %{tmp_dir: directory} do
      missing = with_node(Path.join(directory, "none"))
      assert {:error, message, "install Node.js 18.19.0 or newer"} = JavaScript.node(missing)
      assert message =~ "names a program that does not exist"

      old = program(directory, "old", "v16.20.0")
      assert {:error, message, _mend} = JavaScript.node(with_node(old))
      assert message == "#{old} is 16.20.0: 18.19.0 is needed"

      assert {:ok, "20.1.0, " <> _path} =
               JavaScript.node(with_node(program(directory, "new", "v20.1.0")))
    end

    test "that its packages are missing", %{tmp_dir: directory} do
      broken = program(directory, "broken", "Cannot find package", 1)
      assert {:error, "Cannot find package", mend} = JavaScript.bridge(with_node(broken))
      assert mend =~ ~r"^npm ci --omit=dev in .*/priv/js$"
      assert {:error, _message, ^mend} = Doctor.Worker.check(with_node(broken))
    end

    @tag :javascript
    test "that a worker answers" do
      config = Config.new!(adapter: Snakepit.Adapters.GRPCJavaScript)
      assert {:ok, _version} = JavaScript.node(config)
      assert {:ok, "0.1.0"} = JavaScript.bridge(config)
      assert {:ok, "starts and answers, in " <> _ms} = Doctor.Worker.check(config)
    end
  end

  describe "of the system it says" do
    test "that the directory for sockets is too deep or cannot be made", %{tmp_dir: directory} do
      before = System.get_env("TMPDIR")

      on_exit(fn ->
        if before, do: System.put_env("TMPDIR", before), else: System.delete_env("TMPDIR")
      end)

      assert {:ok, _found} = Doctor.System.socket_directory(Config.new!([]))

      deep = Path.join(directory, String.duplicate("d", 100))
      File.mkdir_p!(deep)
      System.put_env("TMPDIR", deep)

      assert {:error, message, "export TMPDIR=/tmp"} =
               Doctor.System.socket_directory(Config.new!([]))

      assert message =~ "allows 103"
    end

    test "that ports are taken" do
      {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(socket)
      config = Config.new!(base_port: port, port_range: 1, pool_size: 1)
      assert {:error, "0 free from" <> _, "ss -ltnp"} = Doctor.System.ports(config)
      :gen_tcp.close(socket)
      assert {:ok, "1 free from" <> _} = Doctor.System.ports(config)
    end

    test "that its limits are too low" do
      configs = [Config.new!(pool_size: 100_000_000)]
      assert {:error, message, "ulimit -n 600000256"} = Doctor.System.open_files(configs)
      assert message =~ "about 600000256 needed"
      assert {:ok, _found} = Doctor.System.open_files([Config.new!(pool_size: 1)])
      assert {:ok, _found} = Doctor.System.processes([Config.new!(pool_size: 1)])
    end
  end

  test "a wrong configuration is told, and the rest checked all the same" do
    [{"Configuration", configuration} | rest] = Doctor.checks([[pool_sise: 1]])
    assert {:error, message, _mend} = configuration.()
    assert message =~ "did you mean :pool_size?"
    assert length(rest) > 5
  end

  test "every pool with ports has them checked" do
    names =
      for {name, _check} <- Doctor.checks([[name: :a, base_port: 50_000], [name: :b]]), do: name

    assert "Ports of :a" in names
    refute "Ports of :b" in names
  end
end
