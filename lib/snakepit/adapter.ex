defmodule Snakepit.Adapter do
  @moduledoc """
  Which program a worker runs, and how it is spoken to.

  | adapter | workers | protocol | streams |
  |---|---|---|---|
  | `Snakepit.Adapters.GRPCPython` (the default) | Python | gRPC | yes |
  | `Snakepit.Adapters.GRPCJavaScript` | Node.js | gRPC | yes |
  | `Snakepit.Adapters.GenericPythonMsgpack` | Python | MessagePack through pipes | no |
  | `Snakepit.Adapters.GenericPythonV2` | Python | JSON through pipes | no |

  All of them have the same workers: the same pool, queue, sessions, health checks, recycling and
  end. An adapter of your own starts any other program.

  ## A program that speaks gRPC

      defmodule MyApp.Scorer do
        @behaviour Snakepit.Adapter

        @impl true
        def executable_path, do: System.find_executable("python3")

        @impl true
        def grpc_script_path, do: Application.app_dir(:my_app, "priv/scorer.py")

        @impl true
        def uses_grpc?, do: true
      end

  It is started as `python3 scorer.py --port N` and serves `proto/snakepit.proto`: the five
  methods `Execute`, `ExecuteStream`, `ExecuteInSession`, `ExecuteInSessionStream` and `Health` with
  the plain fields are enough. It is ready when it answers `Health`. Values travel by the rule
  of `Snakepit.GRPC.Client.encode_args/1` and `decode_result/1`, or as MessagePack when its health
  announces that.

  The port is, in this order, one of the pool's `:base_port` range, what `c:get_port/0` gives, and
  any free one. With `c:init_grpc_connection/1` and `c:grpc_execute/4` the adapter makes its calls
  itself, and with `c:grpc_execute_stream/5` its streams.

  ## A program that speaks through pipes

  An adapter without `c:uses_grpc?/0` runs a program that reads requests from its standard input and
  writes replies to its standard output. Each is a *frame*: four bytes with the length of what follows,
  big-endian, and then one JSON object (or one MessagePack map, if `c:codec/0` says so):

      {"id": 7, "command": "ping", "args": {}, "timeout_ms": 30000, "request_id": "..."}
      {"id": 7, "success": true, "result": {"status": "ok"}}
      {"id": 8, "success": false, "error": "division by zero"}

  A request may also have `"session_id"` and `"metadata"`. Replies come in any order; the
  program decides how many requests it runs at once, and others wait in its input. It is ready
  when it has answered a first `ping`, and is asked again from time to time; any reply will do.
  `{"id": 7, "type": "cancel"}` says that nobody waits for that reply any more. The program ends when
  its input is closed. Its standard error is that of the VM. What else it prints to its standard
  output breaks the protocol, and costs its process.

  In JSON, `{"__bytes__": "<base64>"}` is a binary that is not text, and `{"__float__": "nan"}`,
  `"infinity"` or `"neg_infinity"` a float that JSON has no number for. `{"__array__": [shape, dtype, data]}`
  is an array of numbers, as in `Snakepit.Array`: a list of sizes, a text such as `"f32"`, a binary. So it is
  in MessagePack too, here and for servers of gRPC.

  ## Another start of Snakepit's own worker

  With `c:worker_args/1` the adapter declares that its program is a worker like Snakepit's own:
  it takes the arguments that `grpc_bridge.py --help` explains, writes the control line when it
  listens, and ends with its standard input. To run Snakepit's worker by another
  interpreter, or in a container, delegate it:

      defdelegate script_path, to: Snakepit.Adapters.GRPCPython
      defdelegate worker_args(worker), to: Snakepit.Adapters.GRPCPython
  """

  alias Snakepit.Error

  @typedoc "How a worker is spoken to."
  @type protocol :: :grpc | :json | :msgpack

  @typedoc "What `c:init_grpc_connection/1` has made."
  @type connection :: term()

  @typedoc """
  What `c:worker_args/1` is given: the options of the pool and where the worker listens.
  """
  @type worker :: %{
          id: String.t(),
          address: {:unix, Path.t()} | {:tcp, :inet.port_number(), String.t()} | nil,
          config: Snakepit.Config.t()
        }

  @doc """
  The absolute path of the program. May raise `Snakepit.Error` when there is none.
  """
  @callback executable_path() :: Path.t() | nil

  @doc """
  The script the program is given as its first argument. Without it there is none.
  """
  @callback script_path() :: Path.t()

  @doc """
  The same for an adapter with several protocols: the script that speaks gRPC.
  """
  @callback grpc_script_path() :: Path.t()

  @doc """
  Further arguments, after the script and before those of the worker.
  """
  @callback script_args() :: [String.t()]

  @doc """
  The last arguments of a program that is a worker like Snakepit's own.
  """
  @callback worker_args(worker()) :: [String.t()]

  @doc """
  Does the program serve gRPC? Only then can it stream. `false` if not defined.
  """
  @callback uses_grpc?() :: boolean()

  @doc """
  What the frames of a program without gRPC hold. `:json` if not defined.
  """
  @callback codec() :: :json | :msgpack

  @doc """
  The commands the program has, or `:any` (as if not defined) when only the running program knows.
  Others are refused before they reach it.
  """
  @callback supported_commands() :: :any | [String.t()]

  @doc """
  The values of the pool option `:transport` that make sense. `[:native]` if not defined.
  """
  @callback transports() :: [:native | :grpcio]

  @doc """
  The option of the pool that says how the program is started: `executable`, `env`, `args` and so on.
  `:python` if not defined.
  """
  @callback runtime() :: :python | :javascript

  @doc """
  The TCP port for the next process.
  """
  @callback get_port() :: :inet.port_number()

  @doc """
  Connects to a program that listens on a port of this machine and is ready. Called in the
  process of the worker, each time its program was started.
  """
  @callback init_grpc_connection(:inet.port_number()) :: {:ok, connection()} | {:error, term()}

  @doc """
  Runs a command, in the process of the caller.
  """
  @callback grpc_execute(connection(), command :: String.t(), args :: map(), timeout()) ::
              {:ok, map()} | {:error, term()}

  @doc """
  Runs a streaming command, in the process of the caller.
  """
  @callback grpc_execute_stream(
              connection(),
              command :: String.t(),
              args :: map(),
              callback :: (map() -> term()),
              timeout()
            ) :: :ok | {:error, term()}

  @optional_callbacks script_path: 0,
                      grpc_script_path: 0,
                      script_args: 0,
                      worker_args: 1,
                      uses_grpc?: 0,
                      codec: 0,
                      supported_commands: 0,
                      transports: 0,
                      runtime: 0,
                      get_port: 0,
                      init_grpc_connection: 1,
                      grpc_execute: 4,
                      grpc_execute_stream: 5

  @doc false
  # Is this module an adapter?
  @spec adapter?(module()) :: boolean()
  def adapter?(module), do: exports?(module, :executable_path, 0)

  @doc """
  Does the adapter serve gRPC?
  """
  @spec grpc?(module()) :: boolean()
  def grpc?(adapter), do: call(adapter, :uses_grpc?, [], false)

  @doc false
  # How the workers of the adapter are spoken to.
  @spec protocol(module()) :: protocol()
  def protocol(adapter),
    do: if(grpc?(adapter), do: :grpc, else: call(adapter, :codec, [], :json))

  @doc false
  # Does the adapter run workers like Snakepit's own?
  @spec own_worker?(module()) :: boolean()
  def own_worker?(adapter), do: exports?(adapter, :worker_args, 1)

  @doc false
  # The program, or why there is none.
  @spec program(module()) :: {:ok, Path.t()} | {:error, Error.t()}
  def program(adapter) do
    case adapter.executable_path() do
      path when is_binary(path) -> {:ok, path}
      nil -> {:error, no_program(adapter)}
    end
  rescue
    error in Error -> {:error, error}
  end

  @doc false
  # The script and the arguments that do not depend on the worker.
  @spec script(module()) :: [String.t()]
  def script(adapter) do
    script =
      if grpc?(adapter) and exports?(adapter, :grpc_script_path, 0),
        do: adapter.grpc_script_path(),
        else: call(adapter, :script_path, [], nil)

    List.wrap(script) ++ call(adapter, :script_args, [], [])
  end

  @doc false
  # Calls an optional callback.
  @spec call(module(), atom(), [term()], term()) :: term()
  def call(adapter, function, args, default) do
    if exports?(adapter, function, length(args)),
      do: apply(adapter, function, args),
      else: default
  end

  @doc false
  # Does the adapter have an optional callback?
  @spec exports?(module(), atom(), arity()) :: boolean()
  def exports?(adapter, function, arity),
    do: Code.ensure_loaded?(adapter) and function_exported?(adapter, function, arity)

  defp no_program(adapter) do
    %Error{
      kind: :worker_crashed,
      message: "#{inspect(adapter)}.executable_path/0 gives no program."
    }
  end
end
