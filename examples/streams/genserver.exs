# A GenServer that consumes a stream: start_stream, ack, cancel.
#
#     mix run examples/streams/genserver.exs

Logger.configure(level: :warning)

defmodule Thermometer do
  @moduledoc """
  Keeps the last readings of an endless stream. It can be asked at any time, as between two chunks it
  is a GenServer like any other.
  """

  use GenServer

  # Python is never more readings ahead than this, however busy this process is.
  @window 8
  @kept 50

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  def mean, do: GenServer.call(__MODULE__, :mean)
  def pause, do: GenServer.call(__MODULE__, :pause)
  def resume, do: GenServer.call(__MODULE__, :resume)

  @impl true
  def init(opts), do: {:ok, start(%{opts: opts, stream: nil, readings: []})}

  @impl true
  def handle_info({:snakepit, ref, {:chunk, chunk}}, %{stream: %{ref: ref}} = state) do
    readings = Enum.take([chunk["celsius"] | state.readings], @kept)
    # Only now may Python make another.
    Snakepit.ack(state.stream)
    {:noreply, %{state | readings: readings}}
  end

  def handle_info({:snakepit, ref, :done}, %{stream: %{ref: ref}} = state),
    do: {:noreply, %{state | stream: nil}}

  # A worker that died, a handler that raised: the supervisor starts this process, and with it
  # the stream, again.
  def handle_info({:snakepit, ref, {:error, reason}}, %{stream: %{ref: ref}} = state),
    do: {:stop, {:stream_failed, reason}, state}

  @impl true
  def handle_call(:mean, _from, %{readings: []} = state), do: {:reply, :none, state}

  def handle_call(:mean, _from, %{readings: readings} = state),
    do: {:reply, Float.round(Enum.sum(readings) / length(readings), 2), state}

  # No message of the stream arrives after this.
  def handle_call(:pause, _from, %{stream: %{} = stream} = state) do
    :ok = Snakepit.cancel(stream)
    {:reply, :ok, %{state | stream: nil, readings: []}}
  end

  def handle_call(:pause, _from, state), do: {:reply, :ok, state}

  def handle_call(:resume, _from, %{stream: nil} = state), do: {:reply, :ok, start(state)}
  def handle_call(:resume, _from, state), do: {:reply, :ok, state}

  # There is no terminate/2: the stream ends with the process that started it.

  defp start(state) do
    opts = [window: @window, timeout: :infinity] ++ state.opts
    {:ok, stream} = Snakepit.start_stream("readings", %{interval_ms: 10}, opts)
    %{state | stream: stream}
  end
end

python = [path: ["examples/streams"], modules: ["stream_examples"]]

{:ok, _supervisor} =
  Supervisor.start_link(
    [
      {Snakepit.Pool, name: Readings, pool_size: 1, python: python},
      {Thermometer, pool: Readings}
    ],
    strategy: :rest_for_one
  )

busy = fn -> Snakepit.get_stats(Readings).busy_slots end

Process.sleep(500)
IO.puts("listening:     mean #{Thermometer.mean()} degrees, #{busy.()} stream open")

Thermometer.pause()
Process.sleep(100)
IO.puts("paused:        mean #{Thermometer.mean()}, #{busy.()} streams open")

Thermometer.resume()
Process.sleep(500)
IO.puts("resumed:       mean #{Thermometer.mean()} degrees, #{busy.()} stream open")

# A worker that dies is replaced, and the supervisor starts the consumer again.
[%{os_pid: os_pid}] = Snakepit.list_workers(Readings)
System.cmd("kill", ["-9", "#{os_pid}"])
Process.sleep(200)
:ok = Snakepit.await_ready(Readings)
Process.sleep(500)
IO.puts("worker killed: mean #{Thermometer.mean()} degrees, #{busy.()} stream open")
