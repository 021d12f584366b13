defmodule Bench.Questions.Start do
  @moduledoc false
  # How soon a pool can be used.

  import Bench.Question, only: [figure: 3, row: 3]

  alias Bench.{Clock, Context, Pools, Python, Question}

  @workers 8

  # Until its stdin is closed.
  @wait """
  import sys
  sys.stdout.write("ready")
  sys.stdout.flush()
  sys.stdin.read()
  """

  @spec all(Context.t()) :: [Question.t()]
  def all(_context) do
    imports = imports()

    [
      %Question{
        key: :start,
        title: "How soon is a pool of 8 workers ready?",
        note: "Without modules of the user. The interpreters start at once, as the workers do.",
        figures: [figure("ms", "ready", "ms")],
        ratio: {:first_over, "Snakepit over this"},
        rows: [
          row(:snakepit, "Snakepit", &pool/0),
          row(:bare, "8 x python -c 'import ...', what a worker imports", fn -> bare(imports) end),
          row(:empty, "8 x python -c, without an import", fn -> bare([]) end)
        ]
      }
    ]
  end

  defp pool do
    elapsed =
      Clock.duration(fn ->
        {:ok, pool} = Snakepit.Pool.start_link(name: :started, pool_size: @workers)
        send(self(), {:pool, pool})
      end)

    receive do: ({:pool, pool} -> Supervisor.stop(pool))
    %{"ms" => elapsed / 1.0e6}
  end

  # Until each of them has said so.
  defp bare(imports) do
    code = Enum.map_join(imports, &"import #{&1}\n") <> @wait
    options = [:binary, cd: directory(), args: ["-c", code]]

    {ports, elapsed} =
      Clock.timed(fn ->
        ports =
          for _ <- 1..@workers, do: Port.open({:spawn_executable, Python.executable()}, options)

        for port <- ports, do: receive(do: ({^port, {:data, _ready}} -> port))
      end)

    Enum.each(ports, &Port.close/1)
    %{"ms" => elapsed / 1.0e6}
  end

  # What a worker that is ready has imported, and an interpreter by itself has not.
  defp imports do
    python = [path: ["bench"], modules: ["bench_modules"]]

    Pools.with_pool([name: :imports, pool_size: 1, python: python], fn ->
      {:ok, %{"modules" => modules}} = Snakepit.execute("bench_modules", %{}, pool: :imports)
      {already, 0} = System.cmd(Python.executable(), ["-c", "import sys; print(*sys.modules)"])
      modules -- String.split(already)
    end)
  end

  # Where the interpreters find what the workers do.
  defp directory, do: Application.app_dir(:snakepit, "priv/python")
end
