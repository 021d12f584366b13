defmodule Snakepit.Test.Contract do
  @moduledoc """
  What every worker must do, whatever protocol it is spoken to by. Each point is a function that gets
  `%{pool: pool, adapter: adapter}`; where an adapter differs, the point says so in one word of the
  table in `guides/adapters.md`, and checks that.
  """

  import ExUnit.Assertions

  alias Snakepit.{Error, Session}
  alias Snakepit.Test.{Beacon, LogTap, OsProcess}

  @refused [
    "JSON through pipes": "refused",
    "MessagePack through pipes": "refused"
  ]

  @points [
    {:values, "nested maps and lists, numbers, text of any script", []},
    {:big_integers, "integers beyond 64 bits, exactly", []},
    {:binaries, "binaries that are not text", []},
    {:odd_floats, "NaN and the infinities", []},
    {:dates, "dates and times arrive as ISO 8601", []},
    {:integer_keys, "integers as keys of maps", ["JSON through pipes": "become text"]},
    {:arrays, "arrays of numbers, with shape and type", []},
    {:megabytes, "a binary of 5 MB, both ways", []},
    {:async_handlers, "async handlers", []},
    {:exceptions, "an exception: type, message, traceback", []},
    {:unknown_command, "an unknown command is named, with what looks like it", []},
    {:encoding_error, "a result that cannot be sent: the path to it", []},
    {:too_large, "a message over the limit, either way", []},
    {:deadline, "the deadline: in the handler, and for the caller", []},
    {:cancellation, "a caller that gives up cancels the handler", []},
    {:capacity, "as many calls at once as the capacity says", []},
    {:identity, "request id, metadata and command in the context", []},
    {:sessions, "sessions keep their state, and say goodbye", []},
    {:crash, "a process that ends: `:worker_exited`, and a new one", []},
    {:output, "what is printed goes to the log", []},
    {:health, "health, statistics, list of workers", []},
    {:farewell, "stop hooks run at the end of the pool", []},
    {:streams, "streams, with a final chunk", @refused},
    {:stream_errors, "an error midway comes after the chunks before it", @refused},
    {:backpressure, "a producer no further ahead than `:window`", @refused},
    {:halt, "a stream that is left closes its generator", @refused},
    {:client_streams, "chunks from the caller", @refused},
    {:bidi_streams, "chunks both ways", @refused}
  ]

  @doc """
  The points as `{name, title}`.
  """
  def points, do: for({name, title, _differences} <- @points, do: {name, title})

  @doc """
  How an adapter differs in a point, or nil.
  """
  def difference(point, adapter) do
    {^point, _title, differences} = List.keyfind(@points, point, 0)

    with {_name, text} <-
           Enum.find(differences, fn {name, _text} -> to_string(name) == adapter.name end),
         do: text
  end

  @doc """
  Who does what, as Markdown.
  """
  def table(adapters) do
    head = ["| |" | for(adapter <- adapters, do: " #{adapter.name} |")]
    rule = ["|---|" | for(_adapter <- adapters, do: "---|")]

    rows =
      for {point, title} <- points() do
        [
          "| #{title} |"
          | for(adapter <- adapters, do: " #{difference(point, adapter) || "yes"} |")
        ]
      end

    Enum.map_join([head, rule | rows], "\n", &IO.iodata_to_binary/1)
  end

  @doc """
  The pool options for a worker of this adapter with the handlers of the contract.
  """
  def pool_options(%{language: :javascript, options: options}),
    do: [javascript: [modules: ["test/support/javascript/contract_handlers.js"]]] ++ options

  def pool_options(%{options: options}),
    do: [python: [modules: ["contract_handlers"]]] ++ options

  def check(point, context) do
    case difference(point, context.adapter) do
      nil -> apply(__MODULE__, point, [context])
      "refused" -> refused(point, context)
      "become text" -> keys_become_text(context)
    end
  end

  # -- values

  def values(%{pool: pool}) do
    for value <- [
          nil,
          true,
          0,
          -1,
          9_007_199_254_740_991,
          1.5,
          -0.25,
          "",
          "5",
          "grüße, 漢字, 🐍",
          [],
          [1, [2, [3, []]]],
          %{},
          %{"a" => %{"b" => [%{"c" => nil}]}}
        ] do
      assert same(pool, value) == value
    end

    # An atom and a tuple have no form of their own.
    assert same(pool, [:atom, {1, "two"}]) == ["atom", [1, "two"]]
  end

  def big_integers(%{pool: pool}) do
    for value <- [
          9_223_372_036_854_775_807,
          -9_223_372_036_854_775_808,
          18_446_744_073_709_551_615,
          2 ** 100,
          -(2 ** 100)
        ],
        do: assert(same(pool, value) == value)
  end

  def binaries(%{pool: pool}) do
    all = for byte <- 0..255, into: "", do: <<byte>>
    assert same(pool, all) == all
    assert same(pool, [<<255>>, %{"x" => <<0, 200>>}]) == [<<255>>, %{"x" => <<0, 200>>}]
    assert same(pool, Snakepit.binary("text")) == "text"
  end

  def odd_floats(%{pool: pool}) do
    assert {:ok, values} = Snakepit.execute("odd_floats", %{}, pool: pool)
    assert values == %{"nan" => :nan, "infinity" => :infinity, "neg_infinity" => :neg_infinity}
  end

  def dates(%{pool: pool}) do
    assert same(pool, ~D[2026-01-02]) == "2026-01-02"
    assert same(pool, ~T[03:04:05]) == "03:04:05"
    assert same(pool, ~U[2026-01-02 03:04:05Z]) == "2026-01-02T03:04:05Z"
  end

  def integer_keys(%{pool: pool}), do: assert(same(pool, %{1 => "one"}) == %{1 => "one"})

  defp keys_become_text(%{pool: pool}), do: assert(same(pool, %{1 => "one"}) == %{"1" => "one"})

  def arrays(%{pool: pool}) do
    for {dtype, bytes} <- [
          u8: 1,
          u16: 2,
          u32: 4,
          u64: 8,
          s8: 1,
          s16: 2,
          s32: 4,
          s64: 8,
          f16: 2,
          bf16: 2,
          f32: 4,
          f64: 8,
          c64: 8,
          c128: 16
        ] do
      array = {:array, {2, 3}, dtype, for(n <- 1..(6 * bytes), into: <<>>, do: <<n>>)}
      assert same(pool, %{"list" => [array]}) == %{"list" => [array]}
    end

    for {shape, count} <- [{{}, 1}, {{3}, 3}, {{0, 4}, 0}, {{1, 3, 1}, 3}] do
      array = {:array, shape, :bool, String.duplicate(<<1>>, count)}
      assert same(pool, array) == array
    end

    large = {:array, {1_000, 500}, :f64, :crypto.strong_rand_bytes(4_000_000)}
    assert same(pool, large) == large

    assert {:ok, %{"sum" => 5.25, "twice" => twice}} =
             Snakepit.execute("twice", %{array: quarters()}, pool: pool)

    assert {:array, {2, 3}, :f32, data} = twice
    assert for(<<x::float-32-little <- data>>, do: x) == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]

    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute("same", %{value: [{:array, {2}, :f32, <<0>>}]}, pool: pool)

    assert message =~ "args.value[0]: an array of f32 with the shape {2} takes 8 bytes, not 1"
    works(pool)
  end

  defp quarters,
    do: {:array, {2, 3}, :f32, for(n <- 1..6, into: <<>>, do: <<n / 4::float-32-little>>)}

  def megabytes(%{pool: pool}) do
    data = :crypto.strong_rand_bytes(5_000_000)
    assert same(pool, data) == data
  end

  def async_handlers(%{pool: pool}) do
    assert Snakepit.execute("same_later", %{value: 1}, pool: pool) == {:ok, %{"value" => 1}}
  end

  # -- errors

  def exceptions(%{pool: pool}) do
    assert {:error, %Error{kind: :python} = error} =
             Snakepit.execute("fail", %{message: "no such thing"}, pool: pool)

    assert error.message == "no such thing"
    assert error.python_type in ["RuntimeError", "Error"]
    assert error.traceback =~ "contract_handlers"
    assert error.command == "fail"
    works(pool)
  end

  def unknown_command(%{pool: pool}) do
    assert {:error, %Error{kind: :unknown_command, message: message}} =
             Snakepit.execute("smae", %{}, pool: pool)

    assert message =~ "smae"
    assert message =~ "same"
  end

  def encoding_error(%{pool: pool}) do
    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute("unencodable", %{}, pool: pool)

    assert message =~ "result.layers[0].weights"

    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute("same", %{value: [%{"pid" => self()}]}, pool: pool)

    assert message =~ "args.value[0].pid"
    works(pool)
  end

  # The pool has a limit of 8 MB.
  def too_large(%{pool: pool}) do
    large = String.duplicate("x", 9_000_000)

    assert {:error, %Error{kind: :too_large}} =
             Snakepit.execute("same", %{value: large}, pool: pool)

    assert {:error, %Error{kind: :too_large}} =
             Snakepit.execute("sized", %{size: 9_000_000}, pool: pool)

    works(pool)
  end

  def deadline(%{pool: pool}) do
    assert {:ok, %{"in_time" => true}} =
             Snakepit.execute("about", %{}, pool: pool, timeout: 30_000)

    assert Snakepit.execute("wait_ms", %{ms: 10_000}, pool: pool, timeout: 100) ==
             {:error, :worker_timeout}

    works(pool)
  end

  def cancellation(%{pool: pool}) do
    beacon = Beacon.open()
    args = %{beacon: beacon.port}
    caller = spawn(fn -> Snakepit.execute("linger", args, pool: pool) end)
    Beacon.await(beacon, "lingers")
    Process.exit(caller, :kill)
    Beacon.await(beacon, "ended")
    works(pool)
  end

  # -- calls

  def capacity(%{pool: pool}) do
    {micros, replies} =
      :timer.tc(fn ->
        for(
          _ <- 1..4,
          do: Task.async(fn -> Snakepit.execute("block", %{ms: 400}, pool: pool) end)
        )
        |> Task.await_many()
      end)

    assert Enum.all?(replies, &(&1 == {:ok, %{"blocked" => 400}}))
    assert micros < 1_500_000
  end

  def identity(%{pool: pool}) do
    opts = [pool: pool, request_id: "request-7", metadata: %{tenant: "acme"}, session_id: "s"]

    assert {:ok, %{"request_id" => "request-7", "metadata" => %{"tenant" => "acme"}} = about} =
             Snakepit.execute("about", %{}, opts)

    assert %{"session_id" => "s", "command" => "about"} = about
  end

  def sessions(%{pool: pool}) do
    tally = fn id -> Snakepit.execute_in_session(id, "tally", %{}, pool: pool) end
    assert tally.("a") == {:ok, %{"tally" => 1}}
    assert tally.("b") == {:ok, %{"tally" => 1}}
    assert tally.("a") == {:ok, %{"tally" => 2}}

    beacon = Beacon.open()

    {:ok, _} =
      Snakepit.execute_in_session("a", "remember_beacon", %{beacon: beacon.port}, pool: pool)

    assert Session.delete("a", pool: pool) == :ok
    Beacon.await(beacon, "ended a")
    assert tally.("a") == {:ok, %{"tally" => 1}}
  end

  def crash(%{pool: pool}) do
    {:ok, %{"os_pid" => os_pid}} = Snakepit.execute("process", %{}, pool: pool)
    OsProcess.watch(os_pid)
    assert Snakepit.execute("leave", %{status: 3}, pool: pool) == {:error, :worker_exited}
    OsProcess.await_ends([os_pid], 5_000)
    assert {:ok, %{"os_pid" => other}} = Snakepit.execute("process", %{}, pool: pool)
    assert other != os_pid
  end

  def output(%{pool: pool}) do
    LogTap.attach()
    text = "text #{System.unique_integer([:positive])}"
    assert {:ok, _} = Snakepit.execute("say", %{text: text}, pool: pool)
    aside = text <> ", aside"
    assert_receive {:log, ^text, %{worker_id: _}}, 5_000
    assert_receive {:log, ^aside, %{worker_id: _}}, 5_000
  end

  def health(%{pool: pool, adapter: adapter}) do
    assert [%{pid: worker, state: :ready, transport: transport}] = Snakepit.list_workers(pool)
    assert transport == adapter.transport

    assert {:ok, %{"healthy" => true, "commands" => commands}} =
             Snakepit.GRPCWorker.get_health(worker)

    assert "same" in commands
    assert %{workers: 1, ready: 1} = Snakepit.get_stats(pool)
  end

  def farewell(%{pool: pool}) do
    beacon = Beacon.open()
    {:ok, _} = Snakepit.execute("on_farewell", %{beacon: beacon.port}, pool: pool)
    :ok = ExUnit.Callbacks.stop_supervised({Snakepit.Pool, pool})
    Beacon.await(beacon, "farewell")
  end

  # -- streams

  def streams(%{pool: pool}) do
    assert chunks(pool, "count_up", %{n: 3}) == [
             %{"i" => 0, "is_final" => false},
             %{"i" => 1, "is_final" => false},
             %{"i" => 2, "is_final" => false},
             %{"n" => 3, "is_final" => true}
           ]

    later = chunks(pool, "count_up_later", %{n: 1_000})
    assert Enum.map(later, & &1["i"]) == Enum.to_list(0..999) ++ [nil]
    assert [%{"is_final" => true}] = Enum.take(later, -1)
  end

  def stream_errors(%{pool: pool}) do
    test = self()

    assert {:error, %Error{kind: :python, message: "midway"}} =
             Snakepit.execute_stream("fail_after", %{n: 2}, &send(test, {:chunk, &1}), pool: pool)

    assert_received {:chunk, %{"i" => 0}}
    assert_received {:chunk, %{"i" => 1}}
    assert_received {:chunk, %{"error" => "midway", "is_final" => true}}
    works(pool)
  end

  def backpressure(%{pool: pool}) do
    beacon = Beacon.open()
    args = %{beacon: beacon.port}
    {:ok, %{ref: ref} = stream} = Snakepit.start_stream("produce", args, pool: pool, window: 3)
    for i <- 0..2, do: assert_receive({:snakepit, ^ref, {:chunk, %{"i" => ^i}}}, 5_000)

    # Three are unacknowledged, and one waits at its yield.
    for i <- 0..3, do: Beacon.await(beacon, "chunk #{i}")
    refute_receive {:udp, _socket, _address, _port, "chunk 4"}, 200
    Snakepit.ack(stream, 2)
    for i <- 4..5, do: Beacon.await(beacon, "chunk #{i}")
    refute_receive {:udp, _socket, _address, _port, "chunk 6"}, 200
    Snakepit.cancel(stream)
    Beacon.await(beacon, "closed")
  end

  def halt(%{pool: pool}) do
    beacon = Beacon.open()
    args = %{beacon: beacon.port}
    assert Snakepit.execute_stream("produce", args, fn _chunk -> :halt end, pool: pool) == :ok
    Beacon.await(beacon, "closed")

    assert [%{"i" => 0}, %{"i" => 1}] =
             "produce" |> Snakepit.stream!(args, pool: pool) |> Enum.take(2)

    Beacon.await(beacon, "closed")
    works(pool)
  end

  def client_streams(%{pool: pool}) do
    chunks = for n <- 1..500, do: %{n: n}

    assert Snakepit.execute_client_stream("add_up", %{}, chunks, pool: pool) ==
             {:ok, %{"sum" => 125_250}}
  end

  def bidi_streams(%{pool: pool}) do
    test = self()
    chunks = for n <- 1..3, do: %{n: n}

    assert Snakepit.execute_bidi_stream("double", %{}, chunks, &send(test, {:chunk, &1}),
             pool: pool
           ) == :ok

    for n <- [2, 4, 6], do: assert_received({:chunk, %{"n" => ^n}})
    assert_received {:chunk, %{"is_final" => true}}
  end

  defp refused(point, %{pool: pool}) do
    no = {:error, :streaming_not_supported}

    case point do
      :client_streams ->
        assert Snakepit.execute_client_stream("add_up", %{}, [], pool: pool) == no

      :bidi_streams ->
        assert Snakepit.execute_bidi_stream("double", %{}, [], fn _ -> :ok end, pool: pool) == no

      _server_stream ->
        assert Snakepit.execute_stream("count_up", %{n: 1}, fn _ -> :ok end, pool: pool) == no
        assert Snakepit.start_stream("count_up", %{n: 1}, pool: pool) == no
    end

    works(pool)
  end

  # -- helpers

  defp same(pool, value) do
    {:ok, %{"value" => value}} = Snakepit.execute("same", %{value: value}, pool: pool)
    value
  end

  defp works(pool), do: assert(same(pool, "still here") == "still here")

  defp chunks(pool, command, args),
    do: command |> Snakepit.stream!(args, pool: pool) |> Enum.to_list()
end
