defmodule Snakepit.Config do
  @schema Snakepit.Config.Options.pool()

  @moduledoc """
  The options of a pool.

  They are given to `{Snakepit.Pool, options}` in a supervision tree, or read from the
  application environment (`from_env/0`). They are checked once, when the pool
  starts: an unknown key or a wrong value raises `ArgumentError`.

  ## Options

  #{Snakepit.Schema.docs(@schema)}

  ## The `:python` option

  #{Snakepit.Schema.docs(Snakepit.Config.Options.nested(:python))}

  ## The `:javascript` option

  #{Snakepit.Schema.docs(Snakepit.Config.Options.nested(:javascript))}

  ## The `:health` option

  #{Snakepit.Schema.docs(Snakepit.Config.Options.nested(:health))}

  ## The `:recycle` option

  #{Snakepit.Schema.docs(Snakepit.Config.Options.nested(:recycle))}

  A worker that has reached one of these limits is replaced: a successor is started, and only when
  it is ready the old worker gets no more calls, finishes those it has, and ends. There
  are never fewer ready workers than `:pool_size`, and no call is lost. As the old worker serves
  until then, the limits are exceeded by what comes in the meantime.

  A worker on which sessions live (see `Snakepit.Session`) goes on to serve these alone, and ends
  with the last of them. It waits as long as `:session_ttl`; sessions that are still in use
  then are lost. With `session_affinity: :hint` it does not wait for them.

  ## Application environment

      config :snakepit,
        adapter_module: Snakepit.Adapters.GRPCPython,
        pool_config: %{pool_size: 4, python: [modules: ["my_app.handlers"]]},
        grpc_config: %{max_concurrent_streams: 10},
        worker_init_timeout: 30_000

  `pool_config` and `grpc_config` take any of the options above. Several pools are a list,
  each with the options of its own:

      config :snakepit,
        pools: [
          {MyApp.Models, pool_size: 2, python: [modules: ["my_app.models"], threads: 4]},
          {MyApp.Reports, pool_size: 1, python: [modules: ["my_app.reports"]]}
        ]

  `jobs`, `log` and `endpoint` are described by `Snakepit.Jobs`, `Snakepit.Log` and
  `Snakepit.Endpoint`.

  A pool starts with the
  application only when one of `:adapter_module`, `:adapters`, `:pool_config` and `:grpc_config` is
  set.

  ## Several adapters

      config :snakepit,
        adapters: [Snakepit.Adapters.GRPCPython, Snakepit.Adapters.GenericPythonMsgpack],
        fallback_adapter: Snakepit.Adapters.GenericPythonV2

  With `:adapters` the pool takes the first whose workers start, and logs why those before it
  could not. When none can, the pool does not start, and calls of a configured pool return
  `:grpc_unavailable`.

  With `:fallback_adapter` the pool starts in any case: it goes on to start its workers, and calls
  return `:grpc_unavailable` until it succeeds. `Snakepit.AdapterFallback.execute_with_fallback/3`
  has these calls served by a pool of the other adapter.
  """

  alias Snakepit.{Adapter, Schema}
  alias Snakepit.Config.Environment

  # `protocol` and `commands` are what the adapter says of itself. A pool that is `tolerant` starts
  # also when its workers do not.
  defstruct Keyword.keys(@schema) ++ [protocol: :grpc, commands: :any, tolerant: false]

  @type t :: %__MODULE__{
          name: atom(),
          adapter: module(),
          adapters: [module()],
          fallback_adapter: module() | nil,
          transport: :native | :grpcio,
          protocol: Adapter.protocol(),
          commands: :any | [String.t()],
          tolerant: boolean(),
          pool_size: pos_integer(),
          max_concurrent_streams: pos_integer(),
          queue_limit: non_neg_integer(),
          queue_timeout: timeout(),
          worker_init_timeout: non_neg_integer(),
          server_startup_timeout: non_neg_integer(),
          connection_timeout: non_neg_integer(),
          stream_timeout: timeout(),
          shutdown_timeout: non_neg_integer(),
          cancel_grace_ms: non_neg_integer(),
          max_message_size: pos_integer(),
          base_port: :inet.port_number() | nil,
          port_range: pos_integer(),
          python: %{
            executable: String.t() | nil,
            path: [String.t()],
            modules: [String.t()],
            env: %{String.t() => String.t()},
            threads: pos_integer() | nil,
            args: [String.t()]
          },
          javascript: %{
            executable: String.t() | nil,
            path: [String.t()],
            modules: [String.t()],
            env: %{String.t() => String.t()},
            args: [String.t()]
          },
          health: map(),
          recycle: false | map(),
          session_affinity: :hint | :strict_queue | :strict_fail_fast,
          session_ttl: non_neg_integer(),
          max_sessions: pos_integer()
        }

  @type option :: {atom(), term()}

  @where "Snakepit.Pool"

  @doc """
  Checks pool options and fills in the defaults. Raises `ArgumentError` on bad ones. Of several
  adapters it is the first.

      iex> config = Snakepit.Config.new!(pool_size: 2, python: [modules: ["my_app.handlers"]])
      iex> {config.pool_size, config.max_concurrent_streams, config.python.modules}
      {2, 10, ["my_app.handlers"]}

      iex> Snakepit.Config.new!(pool_sizes: 2)
      ** (ArgumentError) Snakepit.Pool: unknown option :pool_sizes, did you mean :pool_size?
  """
  @spec new!([option()] | %{atom() => term()}) :: t()
  def new!(options), do: options |> candidates!() |> hd()

  @doc """
  The same for each of the adapters that may be chosen, in order.
  """
  @spec candidates!([option()] | %{atom() => term()}) :: [t(), ...]
  def candidates!(options) do
    options = Schema.options!(options, @where)
    config = struct!(__MODULE__, Schema.validate!(options, @schema, @where))
    adapters = if config.adapters == [], do: [config.adapter], else: config.adapters

    for adapter <- adapters, do: check_adapter!(:adapter, adapter)

    with adapter when adapter != nil <- config.fallback_adapter,
         do: check_adapter!(:fallback_adapter, adapter)

    check_transport!(config.transport, adapters)
    configs = Enum.map(adapters, &for_adapter(config, &1))
    Enum.each(configs, &check_ports!/1)
    configs
  end

  @doc """
  The same pool with another adapter: what makes no sense there is left out.
  """
  @spec for_adapter(t(), module()) :: t()
  def for_adapter(%__MODULE__{} = config, adapter) do
    protocol = Adapter.protocol(adapter)
    transport = if config.transport in transports(adapter), do: config.transport, else: :native

    %{
      config
      | adapter: adapter,
        protocol: protocol,
        commands: Adapter.call(adapter, :supported_commands, [], :any),
        transport: transport,
        base_port: if(protocol == :grpc, do: config.base_port)
    }
  end

  @doc """
  How the program of the workers is started: `:python` or `:javascript`, with that option.
  """
  @spec runtime(t()) :: {:python | :javascript, map()}
  def runtime(%__MODULE__{adapter: adapter} = config) do
    option = Adapter.call(adapter, :runtime, [], :python)
    {option, Map.fetch!(config, option)}
  end

  defp transports(adapter), do: Adapter.call(adapter, :transports, [], [:native])

  defp check_adapter!(option, adapter) do
    unless Adapter.adapter?(adapter) do
      raise ArgumentError,
            "#{@where}: option #{inspect(option)} expected a module with the behaviour " <>
              "Snakepit.Adapter, got #{inspect(adapter)}"
    end
  end

  defp check_transport!(transport, adapters) do
    unless transport == :native or Enum.any?(adapters, &(transport in transports(&1))) do
      raise ArgumentError,
            "#{@where}: option :transport #{inspect(transport)} makes no sense with " <>
              "#{Enum.map_join(adapters, ", ", &inspect/1)}; it is for Snakepit.Adapters.GRPCPython"
    end
  end

  # Every worker needs a port of its own.
  defp check_ports!(%{base_port: nil}), do: :ok
  defp check_ports!(%{port_range: ports, pool_size: workers}) when ports >= workers, do: :ok

  defp check_ports!(%{port_range: ports, pool_size: workers}) do
    raise ArgumentError,
          "#{@where}: option :port_range expected at least :pool_size (#{workers}) ports, got #{ports}"
  end

  @doc """
  The options of the pool described by the application environment, or `:none`.
  """
  @spec from_env() :: {:ok, [option()]} | :none
  defdelegate from_env, to: Environment

  @doc """
  The options of every pool that the application environment describes.
  """
  @spec pools_from_env() :: [[option()]]
  defdelegate pools_from_env, to: Environment
end
