defmodule Snakepit.Worker.News do
  @moduledoc false
  # What the process of a worker tells its pool.

  alias Snakepit.Error
  alias Snakepit.Pool.{Shared, Slots}
  alias Snakepit.Worker.{Channel, Link}

  @type t ::
          {:starting, map()}
          | {:ready, Channel.t(), map()}
          | {:failing, Error.t()}

  @spec tell(Shared.t(), Slots.worker(), t()) :: :ok
  def tell(%Shared{server: server}, index, news) do
    send(server, {:worker, index, self(), news})
    :ok
  end

  @doc """
  That the calling process has a worker that can be called.
  """
  @spec ready(Link.t(), DateTime.t(), map()) :: t()
  def ready(%Link{process: process, channel: channel}, started_at, health) do
    info = %{
      pid: self(),
      os_pid: process.os_pid,
      address: channel.target,
      started_at: started_at,
      transport: transport(health)
    }

    {:ready, channel, info}
  end

  # A program of another kind need not say.
  defp transport(%{"transport" => transport}) when is_binary(transport) and transport != "",
    do: transport

  defp transport(_health), do: "grpc"

  @doc """
  How much memory the worker holds, if it says so and anybody wants to know.
  """
  @spec tell_size(Shared.t(), Slots.worker(), map()) :: :ok
  def tell_size(%Shared{config: %{recycle: %{max_rss_mb: limit}}} = pool, index, health)
      when is_integer(limit) do
    with %{"rss_bytes" => bytes} when is_integer(bytes) <- health do
      incarnation = Shared.incarnation(pool, index)
      send(pool.server, {:recycler, {:size, index, incarnation, bytes}})
    end

    :ok
  end

  def tell_size(_pool, _index, _health), do: :ok
end
