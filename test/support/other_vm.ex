defmodule Snakepit.Test.OtherVM do
  @moduledoc """
  A second Erlang VM, as an operating system process that can be killed. It talks to the test by
  lines; the test talks to it through its standard input.
  """

  import ExUnit.Assertions
  import ExUnit.Callbacks

  alias Snakepit.Test.{OsProcess, PoolHelper}

  @patience 20_000

  defstruct [:port, :os_pid]

  @doc """
  Starts a VM that runs `Snakepit.Test.OtherVM.main/1` with a pool of these options.
  """
  def start(options, env \\ []), do: run("main(#{inspect(options, limit: :infinity)})", env)

  @doc """
  Starts a VM with such a pool of one worker, which says the result of `command`: a line with
  the name of the command and the value that is called like it.
  """
  def start_reporting(options, command, env \\ []) do
    run("main(#{inspect(options, limit: :infinity)}, #{inspect(command)})", env)
  end

  @doc """
  Starts a VM like `start/2` in which the native library cannot be loaded: it is `:missing` or
  `:broken`.
  """
  def start_without_library(how, options) do
    root = Path.join(OsProcess.tmp_dir(), "snakepit")
    File.mkdir_p!(Path.join(root, "priv/native"))
    File.cp_r!("_build/test/lib/snakepit/ebin", Path.join(root, "ebin"))
    File.ln_s!(Path.expand("priv/python"), Path.join(root, "priv/python"))

    if how == :broken,
      do: File.write!(Path.join(root, "priv/native/snakepit_nif.so"), "no library")

    run("main(#{inspect(options, limit: :infinity)})", [], Path.join(root, "ebin"))
  end

  defp run(main, env, ebin \\ "_build/test/lib/snakepit/ebin"),
    do: open("elixir", ["-pa", ebin, "-e", "Snakepit.Test.OtherVM.#{main}"], env)

  @doc """
  What an expression is there, as `inspect/1` shows it. It has to fit in one line.
  """
  def eval(vm, expression) do
    tell(vm, "eval " <> expression)
    vm |> await("value") |> Enum.join(" ")
  end

  def open(program, args, env) do
    port =
      Port.open({:spawn_executable, System.find_executable(program)}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        line: 65_536,
        args: args,
        env: for({name, value} <- env, do: {~c"#{name}", ~c"#{value}"})
      ])

    {:os_pid, os_pid} = Port.info(port, :os_pid)
    on_exit(fn -> System.cmd("kill", ["-KILL", "#{os_pid}"], stderr_to_stdout: true) end)
    %__MODULE__{port: port, os_pid: OsProcess.watch(os_pid)}
  end

  @doc """
  Waits for a line that begins with `word`, and returns the words after it.
  """
  def await(%__MODULE__{port: port} = vm, word) do
    assert_receive {^port, news}, @patience, "no line #{word} from the other VM"

    case news do
      {:data, {:eol, line}} ->
        case String.split(line) do
          [^word | rest] -> rest
          _other -> await(vm, word)
        end

      {:exit_status, status} ->
        flunk("the other VM ended with status #{status} before it said #{word}")
    end
  end

  @doc """
  The operating system processes below the pool, watched from now on, and its socket directory.
  """
  def await_pool(vm) do
    {[directory], os_pids} = vm |> await("pool") |> Enum.split(1)
    {Enum.map(os_pids, &(&1 |> String.to_integer() |> OsProcess.watch())), directory}
  end

  def tell(%__MODULE__{port: port}, line), do: Port.command(port, line <> "\n")

  def signal(%__MODULE__{os_pid: os_pid}, name), do: OsProcess.signal(os_pid, name)

  @doc """
  What the other VM runs.
  """
  def main(options) do
    start_pool(options)
    report()
    loop()
  end

  @doc false
  def main(options, command) do
    start_pool(options)
    {:ok, result} = Snakepit.execute(command, %{}, pool: :other)
    IO.puts("#{command} #{result[command]}")
    loop()
  end

  defp start_pool(options) do
    {:ok, _apps} = Application.ensure_all_started(:snakepit)
    {:ok, _pool} = Snakepit.Pool.start_link(PoolHelper.pool_options(:other, options))
  end

  @doc """
  Has every worker of the pool `:other` start a child with a child, and says who is there.
  """
  def report(pool \\ :other) do
    workers = Snakepit.list_workers(pool)
    {:ok, %{directory: directory}} = Snakepit.Pool.Shared.fetch(pool)

    descendants =
      for %{pid: pid} <- workers do
        {:ok, %{"os_pids" => os_pids}} =
          Snakepit.GRPCWorker.execute(pid, "leave_grandchild", %{})

        os_pids
      end

    IO.puts(Enum.join(["pool", directory | List.flatten(descendants)], " "))
  end

  defp evaluated(expression) do
    {value, _bindings} = Code.eval_string(expression)
    inspect(value, limit: :infinity, printable_limit: :infinity, width: :infinity)
  end

  defp loop do
    case IO.gets("") do
      "halt\n" -> System.halt(0)
      "stop\n" -> System.stop(0)
      "eval " <> expression -> IO.puts("value #{evaluated(expression)}")
      "ping\n" -> IO.puts("pong #{inspect(Snakepit.execute("ping", %{}, pool: :other))}")
      _closed -> System.halt(0)
    end

    loop()
  end
end
