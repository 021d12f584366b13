defmodule Snakepit.Adapters.GRPCJavaScript do
  @moduledoc """
  Workers in JavaScript, which speak gRPC: calls, streams in every direction, sessions.

      {Snakepit.Pool,
       name: MyApp.JavaScript,
       adapter: Snakepit.Adapters.GRPCJavaScript,
       pool_size: 2,
       javascript: [path: ["assets/workers"], modules: ["handlers.js"]]}

  with `assets/workers/handlers.js`

      import { command, stream } from "snakepit-bridge";

      command("shout", ({ text }) => ({ text: text.toUpperCase() }));

      stream("count", async function* ({ to }) {
        for (let n = 1; n < to; n++) yield { n };
        return { n: to };
      });

  Node.js 18.19 or newer is, in this order, the pool's `javascript: [executable: ...]`, the
  environment variable `SNAKEPIT_NODE`, and `node` in the `PATH`. The packages that the workers need
  are installed by `npm ci --omit=dev` in Snakepit's `priv/js` (`make setup-js` in its own
  checkout); `snakepit-bridge` itself need not be installed.

  ## What is different in JavaScript

    * Nothing can interrupt a function. A cancelled call aborts `ctx.signal`, and has a generator
      return at its `yield`, so that its `finally` runs; what goes on beyond the pool's
      `:cancel_grace_ms` costs its worker process. The server has a thread of its own, so
      that is so for a loop that never ends too, and health checks are answered meanwhile.
    * All handlers of a worker share one thread: while one computes, the others wait.
    * A number without a fraction comes back as an integer: JavaScript does not know `1.0` from `1`.
      Integers above 53 bits are `BigInt`s.
    * What handlers throw has the kind `:python`, as from every handler; `python_type` is its class,
      and `traceback` its stack.
  """

  @behaviour Snakepit.Adapter

  alias Snakepit.Adapters.Bridge
  alias Snakepit.Error

  @impl true
  def executable_path do
    case System.get_env("SNAKEPIT_NODE") do
      unset when unset in [nil, ""] -> System.find_executable("node") || raise(missing())
      name -> System.find_executable(name) || raise(not_found(name))
    end
  end

  @impl true
  def script_path, do: Application.app_dir(:snakepit, "priv/js/grpc_bridge.js")

  @impl true
  def script_args, do: []

  @impl true
  def worker_args(worker), do: Bridge.args(worker)

  @impl true
  def uses_grpc?, do: true

  @impl true
  def supported_commands, do: :any

  @impl true
  def runtime, do: :javascript

  defp not_found(name) do
    Error.exception(
      kind: :worker_crashed,
      message: "SNAKEPIT_NODE names #{inspect(name)}, and there is no such program."
    )
  end

  defp missing do
    Error.exception(
      kind: :worker_crashed,
      message:
        "No Node.js for the workers: there is no node in the PATH. Install Node.js 18.19 or newer, or " <>
          "name it with SNAKEPIT_NODE or the pool option javascript: [executable: path]."
    )
  end
end
