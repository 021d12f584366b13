defmodule Bench.Pipe do
  @moduledoc false
  # The least that a call through a pipe can cost: MessagePack there and back, `bench/pipe_echo.py` at
  # the other end, no names, no deadlines, no errors.

  alias Bench.{Clock, Python}
  alias Snakepit.GRPC.Native

  @program "bench/pipe_echo.py"
  @warm_up 200

  defmodule Owner do
    @moduledoc false
    # One process that owns the pipe and answers its callers by the ids of their calls. A call is
    # `[id, {"data": data}]`, and taken apart right here: any library would cost more.

    use GenServer

    # What MessagePack calls an array of two, the sizes of an integer, and a map of one name with a
    # binary of up to 255 bytes.
    @pair 0x92
    @uint8 0xCC
    @uint16 0xCD
    @uint32 0xCE
    @data <<0x81, 0xA4, "data", 0xC4>>

    def start_link(open), do: GenServer.start_link(__MODULE__, open)

    def call(owner, data), do: GenServer.call(owner, data, :infinity)

    @impl true
    def init(open), do: {:ok, %{port: open.(), id: 0, callers: %{}, rest: ""}}

    @impl true
    def handle_call(data, from, %{port: port, id: id, callers: callers} = state) do
      Port.command(port, [<<@pair, @uint32, id::32, @data, byte_size(data)>>, data])
      {:noreply, %{state | id: id + 1, callers: Map.put(callers, id, from)}}
    end

    # A block of frames, or one frame without its length.
    @impl true
    def handle_info({port, {:data, block}}, %{port: port} = state) do
      {callers, rest} = answer(state.rest <> block, state.callers)
      {:noreply, %{state | callers: callers, rest: rest}}
    end

    # The other end writes each integer in its shortest form.
    defp answer(<<@pair, id, rest::binary>> = block, callers) when id < 128,
      do: answer(id, rest, block, callers)

    defp answer(<<@pair, @uint8, id, rest::binary>> = block, callers),
      do: answer(id, rest, block, callers)

    defp answer(<<@pair, @uint16, id::16, rest::binary>> = block, callers),
      do: answer(id, rest, block, callers)

    defp answer(<<@pair, @uint32, id::32, rest::binary>> = block, callers),
      do: answer(id, rest, block, callers)

    defp answer(rest, callers), do: {callers, rest}

    defp answer(id, <<@data, size, data::binary-size(size), rest::binary>>, _block, callers) do
      {from, callers} = Map.pop!(callers, id)
      GenServer.reply(from, %{"data" => data})
      answer(rest, callers)
    end

    defp answer(_id, _incomplete, block, callers), do: {callers, block}
  end

  @doc """
  One caller, that owns the port itself: a frame, and then the frame that answers it. Packed and
  unpacked by the functions that Snakepit has for that.
  """
  @spec one_caller(map(), pos_integer()) :: map()
  def one_caller(ask, count) do
    data = :binary.copy(<<0xFF>>, ask.size)
    port = open("frames", packet: 4)

    call = fn ->
      {:ok, packed} = Native.pack([{"data", data}])
      Port.command(port, packed)

      receive do
        {^port, {:data, frame}} -> {:ok, %{"data" => _data}} = Native.unpack(frame)
      end
    end

    Clock.repeat(@warm_up, call)

    {latencies, elapsed} =
      Clock.timed(fn -> Clock.repeat(count, fn -> Clock.duration(call) end) end)

    Port.close(port)
    Clock.figures(latencies, elapsed)
  end

  @doc """
  Callers that come together, at a process that owns the port. Their calls travel as `:frames`, each
  read and answered by itself, or as `:blocks` of as many as there are.
  """
  @spec many_callers(map(), pos_integer(), :frames | :blocks) :: map()
  def many_callers(ask, count, way) do
    data = :binary.copy(<<0xFF>>, ask.size)
    options = if way == :frames, do: [packet: 4], else: []
    {:ok, owner} = Owner.start_link(fn -> open(to_string(way), options) end)
    call = fn -> %{"data" => ^data} = Owner.call(owner, data) end
    {latencies, elapsed} = Clock.together(ask.callers, count, @warm_up, call)
    GenServer.stop(owner)
    Clock.figures(latencies, elapsed)
  end

  defp open(way, options) do
    options = [:binary, args: [@program, way]] ++ options
    Port.open({:spawn_executable, Python.executable()}, options)
  end
end
