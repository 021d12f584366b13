defmodule Snakepit.Test.StreamBeacon do
  @moduledoc """
  What the handlers of `stream_handlers.py` tell a test: each datagram is an event with the time at
  which it happened in Python, in nanoseconds of the clock that both processes share.
  """

  import ExUnit.Assertions

  @patience 10_000

  defstruct [:socket, :port]

  def open do
    {:ok, socket} =
      :gen_udp.open(0, [:binary, ip: {127, 0, 0, 1}, active: true, recbuf: 4_000_000])

    {:ok, port} = :inet.port(socket)
    %__MODULE__{socket: socket, port: port}
  end

  @doc """
  Waits for the next event, which must be `event`.
  """
  def await(beacon, event, patience \\ @patience) do
    assert %{"event" => ^event} = next(beacon, patience)
  end

  @doc """
  Waits for so many events.
  """
  def await_many(beacon, event, count), do: for(_ <- 1..count//1, do: await(beacon, event))

  @doc """
  The next event, whatever it is; nil when none comes.
  """
  def next(%__MODULE__{socket: socket}, patience \\ @patience) do
    receive do
      {:udp, ^socket, _address, from, text} -> text |> JSON.decode!() |> Map.put("from", from)
    after
      patience -> nil
    end
  end

  @doc """
  Lets a handler go on that waits after an event.
  """
  def release(%__MODULE__{socket: socket}, %{"from" => from}),
    do: :ok = :gen_udp.send(socket, {127, 0, 0, 1}, from, "go on")

  @doc """
  The time, by the clock of the events.
  """
  def now, do: System.os_time(:nanosecond)

  @doc """
  Milliseconds from `since` to an event.
  """
  def elapsed(%{"at" => at}, since), do: (at - since) / 1_000_000
end
