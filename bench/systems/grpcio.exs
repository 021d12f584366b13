defmodule Bench.Grpcio do
  @moduledoc false
  # Python's own grpcio, client and server each in a process of its own. The server comes as threads
  # and as asyncio, the client also as threads that are tuned for streams. The ordinary pair is
  # threads on both sides as they are by themselves; besides, each question goes to the pair
  # that answers it best on this machine.

  alias Bench.{Program, Python, Settings}

  @server "bench/grpcio_server.py"
  @client "bench/grpcio_client.py"
  @servers [:threads, :asyncio]
  @clients [:threads, :tuned, :asyncio]
  @ordinary {:threads, :threads}

  @type pair :: {server :: atom(), client :: atom()}
  @type t :: %{
          targets: %{atom() => String.t()},
          clients: %{atom() => pid()},
          fastest: %{atom() => pair()}
        }

  @doc """
  Starts all of them, and finds out which pair is the fastest for each of `asks`. They end with this
  process.
  """
  @spec start!(Path.t(), [map()], Settings.t()) :: t()
  def start!(directory, asks, settings) do
    python = Python.executable()

    targets =
      for server <- @servers, into: %{} do
        target = "unix:" <> Path.join(directory, "#{server}.sock")
        {:ok, program} = Program.start_link(python, [@server, target, server])
        "ready" = Program.line(program)
        {server, target}
      end

    clients =
      for client <- @clients, into: %{} do
        {:ok, program} = Program.start_link(python, [@client, client])
        {client, program}
      end

    grpcio = %{targets: targets, clients: clients, fastest: %{}}
    %{grpcio | fastest: Map.new(asks, &{&1.key, fastest(grpcio, &1, settings)})}
  end

  @doc """
  The pair that everybody begins with.
  """
  @spec ordinary() :: pair()
  def ordinary, do: @ordinary

  @spec title(pair()) :: String.t()
  def title({server, client}), do: "#{client(client)} to #{server}"

  defp client(:tuned), do: "tuned threads"
  defp client(client), do: to_string(client)

  @doc """
  Answers with a pair what is asked by `:unary`, `:stream` or `:first`.
  """
  @spec measure(t(), pair(), map(), pos_integer()) :: map()
  def measure(grpcio, {server, client}, ask, count) do
    question = %{
      target: grpcio.targets[server],
      mode: ask.mode,
      count: count,
      size: ask.size,
      callers: ask.callers
    }

    Program.ask(grpcio.clients[client], question)
  end

  defp fastest(_grpcio, _ask, %Settings{tries: 0}), do: {:asyncio, :asyncio}

  defp fastest(grpcio, ask, %Settings{tries: tries} = settings) do
    count = Settings.part(settings, div(ask.slow, 4))

    for server <- @servers, client <- @clients, client != :tuned or ask.mode != :unary do
      best =
        Enum.max(for _ <- 1..tries, do: score(ask, measure(grpcio, {server, client}, ask, count)))

      {best, {server, client}}
    end
    |> Enum.max()
    |> elem(1)
  end

  # Larger is better.
  defp score(%{judged: "p50_us"}, figures), do: 1 / figures["p50_us"]
  defp score(%{judged: judged}, figures), do: figures[judged]
end
