defmodule Bench.Asks do
  @moduledoc false
  # What every system is asked, and the rows of those that answer all of it. `fast` and `slow` are the
  # calls or chunks of one measurement: about a third of a second for Rust and for grpcio.

  alias Bench.{Context, Facade, Grpcio, Question, Rust, Settings}

  @rate "per_s"
  @bandwidth "mb_per_s"
  @latency "p50_us"

  @asks [
    %{
      key: :call,
      mode: :unary,
      size: 100,
      callers: 1,
      judged: @latency,
      fast: 9_600,
      slow: 1_600
    },
    %{
      key: :callers,
      mode: :unary,
      size: 100,
      callers: 16,
      judged: @rate,
      fast: 48_000,
      slow: 3_200
    },
    %{
      key: :chunks_10b,
      mode: :stream,
      size: 10,
      callers: 1,
      judged: @rate,
      fast: 400_000,
      slow: 10_000
    },
    %{
      key: :chunks_1kb,
      mode: :stream,
      size: 1_000,
      callers: 1,
      judged: @rate,
      fast: 300_000,
      slow: 10_000
    },
    %{
      key: :chunks_100kb,
      mode: :stream,
      size: 100_000,
      callers: 1,
      judged: @bandwidth,
      fast: 6_000,
      slow: 3_000
    },
    %{
      key: :chunks_1mb,
      mode: :stream,
      size: 1_000_000,
      callers: 1,
      judged: @bandwidth,
      fast: 800,
      slow: 400
    },
    %{key: :first, mode: :first, size: 10, callers: 1, judged: @latency, fast: 2_500, slow: 500}
  ]

  @type t :: %{
          key: atom(),
          mode: :unary | :stream | :first,
          size: pos_integer(),
          callers: pos_integer(),
          judged: String.t(),
          fast: pos_integer(),
          slow: pos_integer()
        }

  @spec all() :: [t()]
  def all, do: @asks

  @spec fetch(atom()) :: t()
  def fetch(key), do: Enum.find(@asks, &(&1.key == key))

  @spec snakepit(t(), Context.t()) :: Question.row()
  def snakepit(ask, context) do
    count = fast(ask, context)

    Question.row(:snakepit, "Snakepit", fn ->
      Facade.measure(ask.mode, ask, count, pool: :bench)
    end)
  end

  @doc """
  The bare Rust client, an RPC for each call.
  """
  @spec rust(t(), Context.t(), String.t()) :: Question.row()
  def rust(ask, context, title \\ "bare Rust client") do
    count = fast(ask, context)

    Question.row(:rust, title, fn ->
      Rust.client(context.rust, context.address, ask.mode, ask, count)
    end)
  end

  @doc """
  The bare Rust client with its calls on the lane, as Snakepit's are.
  """
  @spec lane(t(), Context.t(), pos_integer()) :: Question.row()
  def lane(ask, context, count) do
    Question.row(:lane, "bare Rust client, on the lane", fn ->
      Rust.client(context.rust, context.address, :lane, ask, count)
    end)
  end

  @doc """
  The ordinary pair of grpcio, and the fastest if it is another one.
  """
  @spec grpcio(t(), Context.t()) :: [Question.row()]
  def grpcio(ask, %Context{grpcio: grpcio, settings: settings}) do
    count = Settings.part(settings, ask.slow)
    ordinary = Grpcio.ordinary()
    fastest = grpcio.fastest[ask.key]
    measure = fn pair -> fn -> Grpcio.measure(grpcio, pair, ask, count) end end

    if fastest == ordinary do
      title = "grpcio, ordinary and fastest: #{Grpcio.title(ordinary)}"
      [Question.row(:grpcio, title, measure.(ordinary))]
    else
      [
        Question.row(
          :grpcio,
          "grpcio, ordinary: #{Grpcio.title(ordinary)}",
          measure.(ordinary)
        ),
        Question.row(
          :grpcio_fastest,
          "grpcio, fastest: #{Grpcio.title(fastest)}",
          measure.(fastest)
        )
      ]
    end
  end

  @spec fast(t(), Context.t()) :: pos_integer()
  def fast(ask, %Context{settings: settings}), do: Settings.part(settings, ask.fast)
end
