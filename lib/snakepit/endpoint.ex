defmodule Snakepit.Endpoint do
  @moduledoc """
  A small HTTP server with a live page and the metrics. It is off unless it is asked for:

      config :snakepit, endpoint: [port: 4040]

  or, in one's own supervision tree, `{Snakepit.Endpoint, port: 4040}`.

  | path | what |
  |---|---|
  | `GET /` | the live page: workers, streams, queue, sessions, jobs, last errors |
  | `GET /state.json` | what the page shows, from `Snakepit.Status.snapshot/0` |
  | `GET /metrics` | `Snakepit.Metrics.prometheus/0`, for Prometheus to scrape |
  | `POST /streams/POOL/ID/cancel` | ends a stream; needs the token in the header `x-snakepit-token` |

  It is made of what OTP brings (`:inets`). Nothing is measured or kept for it while nobody looks.

  ## Options

  #{Snakepit.Schema.docs(Snakepit.Endpoint.Options.schema())}

  ## Who may look, and who may cancel

  The endpoint listens on the loopback interface, so whoever has an account on the machine may look.
  Arguments and results of calls are never shown; names of commands, ids of requests and sessions, and
  the messages of errors are. With another `:ip` everybody who reaches it may look: there is no TLS, so
  leave that to a proxy in front.

  Requests are answered only if their `Host` is an IP address, `localhost`, or one of `:hosts`. So a page
  elsewhere that has its own name point here (DNS rebinding) learns nothing. To cancel takes the
  token, which is logged once at the start when it was made up; a form or script of another page cannot
  send it.

  ## When it cannot start

  An endpoint from the application's configuration never keeps the application from starting, or
  takes it down: when its port is taken it says so in the log and tries again every few seconds, so it
  also follows a VM that is about to end. In one's own tree it fails to start, with `{:error, reason}`.
  """

  alias Snakepit.Endpoint.{Options, Server}

  @doc false
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: {__MODULE__, options[:name] || __MODULE__},
      start: {__MODULE__, :start_link, [options]},
      shutdown: 5_000
    }
  end

  @doc """
  Starts an endpoint. Raises `ArgumentError` on bad options.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options), do: Server.start_link(Options.validate!(options), :strict)

  @doc false
  # What the application starts, if it is configured to.
  @spec configured() :: [Supervisor.child_spec()]
  def configured do
    case Application.get_env(:snakepit, :endpoint, false) do
      off when off in [false, nil] ->
        []

      options ->
        config = Options.validate!(options)
        [%{child_spec([]) | start: {Server, :start_link, [config, :tolerant]}}]
    end
  end

  @doc """
  The port on which an endpoint listens: the one that was found if it was started with `port: 0`.
  """
  @spec port(atom()) :: {:ok, :inet.port_number()} | {:error, :not_running}
  def port(name \\ __MODULE__), do: Server.port(name)
end
