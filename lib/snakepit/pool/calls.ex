defmodule Snakepit.Pool.Calls do
  @moduledoc false
  # The way of a call through a pool: it takes a lease, runs on the channel of its worker, and gives
  # the lease back, however it ends. All of it happens in the caller.

  alias Snakepit.{Error, GRPC, Progress, Request, Telemetry}
  alias Snakepit.Pool.{Lease, Sessions, Shared, Slots, Streams}
  alias Snakepit.Worker.Channel

  @default_timeout 30_000

  # A call that ends its worker every time must not take all of them along.
  @repeats 3

  @doc """
  The deadline of a call that gives one result, in milliseconds, if its caller names none.
  """
  @spec default_timeout() :: pos_integer()
  def default_timeout, do: @default_timeout

  @doc """
  Runs a call that gives one result, on a worker of `target`.
  """
  @spec execute(Shared.t(), Slots.target(), Request.t()) ::
          {:ok, map()} | {:error, Error.reason()}
  def execute(pool, target, %Request{timeout: nil} = request),
    do: execute(pool, target, %{request | timeout: @default_timeout})

  def execute(pool, target, request) do
    Telemetry.execute(pool, request, fn ->
      with :ok <- known(pool, request),
           do: call(pool, target, request, @repeats),
           else: (error -> {named(error, request, nil), nil})
    end)
  end

  defp named({:error, %Error{} = error}, request, worker_id),
    do: {:error, Error.about(error, request, worker_id)}

  defp named(result, _request, _worker_id), do: result

  defp call(pool, target, request, repeats) do
    case call_once(pool, target, request) do
      # By now the pool knows that the worker is gone: the next attempt finds another one, or
      # waits.
      {{:error, :worker_exited}, _worker} when repeats > 0 and request.idempotent ->
        call(pool, target, request, repeats - 1)

      # Nothing was sent, so nothing has run.
      {{:error, :grpc_unavailable}, _worker} when repeats > 0 ->
        call(pool, target, request, repeats - 1)

      result ->
        result
    end
  end

  # A killed caller does not come to the `after`; the server frees its slot.
  defp call_once(pool, target, request) do
    case checkout(pool, target, request) do
      {:ok, %{channel: channel} = lease} ->
        try do
          request = on_lease(request)
          result = run(pool, channel, request)
          {result |> named(request, channel.worker_id) |> Lease.note(lease), channel.worker_id}
        after
          Lease.release(lease)
        end

      {:error, _reason} = error ->
        {error, nil}
    end
  end

  defp run(pool, channel, request) do
    if Telemetry.attached?() do
      run = fn -> Channel.execute(channel, request) end
      Telemetry.request(pool, request, channel.worker_id, false, run)
    else
      Channel.execute(channel, request)
    end
  end

  @doc """
  Runs a server stream, on a worker of `target`.
  """
  @spec stream(Shared.t(), Slots.target(), Request.t(), (map() -> term())) ::
          :ok | {:error, Error.reason()}
  def stream(pool, target, request, callback) do
    check_callback!(callback)
    run = &Channel.stream(&1, &2, callback)
    Progress.during(fn -> stream_on_lease(pool, target, request, :server, run) end)
  end

  @doc """
  Takes a lease, and runs a stream with it. A killed caller does not come to the `after`; the
  server frees its slot.
  """
  @spec stream_on_lease(
          Shared.t(),
          Slots.target(),
          Request.t(),
          GRPC.Native.shape(),
          (Channel.t(), Request.t() -> result)
        ) :: result
        when result: term()
  def stream_on_lease(pool, target, request, shape, run) do
    with {:ok, lease, span, request} <- enter_stream(pool, target, request, shape) do
      try do
        request = on_lease(request)
        run = fn -> run.(lease.channel, request) end
        result = Telemetry.request(pool, request, lease.channel.worker_id, true, run)
        result |> named(request, lease.channel.worker_id) |> Lease.note(lease)
      catch
        kind, reason ->
          Streams.finish(span, {:raised, kind, reason, __STACKTRACE__})
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        result ->
          Streams.finish(span, {:returned, result})
          result
      after
        Lease.release(lease)
      end
    end
  end

  defp enter_stream(pool, target, request, shape) do
    request = %{request | timeout: request.timeout || pool.config.stream_timeout}
    span = Streams.start(pool, request, shape)

    with :ok <- streams(pool),
         :ok <- known(pool, request),
         {:ok, lease} <- checkout_for_stream(pool, target, request) do
      span = Streams.enter(span, lease)
      {:ok, lease, span, %{request | span: span}}
    else
      error ->
        error = named(error, request, nil)
        Streams.finish(span, {:returned, error})
        error
    end
  end

  # Before a slot is taken: no worker of the pool could.
  defp streams(%{protocol: :grpc}), do: :ok
  defp streams(_pipes), do: {:error, :streaming_not_supported}

  defp known(%{commands: :any}, _request), do: :ok

  defp known(%{commands: commands, config: %{adapter: adapter}}, %{command: command}) do
    if command in commands do
      :ok
    else
      text = "#{inspect(command)} is none of the commands of #{inspect(adapter)}"
      {:error, %Error{kind: :unknown_command, message: text, command: command}}
    end
  end

  @doc """
  Takes a lease that outlives this function if `open` succeeds.
  """
  @spec open_stream(
          Shared.t(),
          Request.t(),
          (Lease.t(), Request.t() -> {:ok, stream} | {:error, Error.reason()})
        ) :: {:ok, Lease.t(), Streams.t(), stream} | {:error, Error.reason()}
        when stream: term()
  def open_stream(pool, request, open) do
    with {:ok, lease, span, request} <- enter_stream(pool, :any, request, :server) do
      case open.(lease, request) do
        {:ok, stream} ->
          {:ok, lease, span, stream}

        {:error, _reason} = error ->
          error = named(error, request, lease.channel.worker_id)
          Streams.finish(span, {:returned, error})
          Lease.release(lease)
          Lease.note(error, lease)
      end
    end
  end

  defp on_lease(%{on_lease: nil} = request), do: request
  defp on_lease(%{on_lease: on_lease} = request), do: on_lease.(request)

  defp checkout(_pool, _target, %{timeout: 0}), do: {:error, :worker_timeout}

  defp checkout(pool, target, request) do
    with {:error, reason} = error <- lease(pool, target, request) do
      Telemetry.rejected(pool, request, reason)
      error
    end
  end

  # A call is refused by a connection that is lost, and made again on another; a stream is not.
  defp checkout_for_stream(pool, target, request) do
    with {:ok, lease} <- checkout(pool, target, request) do
      if Channel.lost?(lease.channel) do
        Lease.suspect(lease)
        Lease.release(lease)
        checkout_for_stream(pool, target, request)
      else
        {:ok, lease}
      end
    end
  end

  defp lease(pool, target, %{session_id: nil} = request),
    do: Lease.checkout(pool, target, request)

  defp lease(pool, target, request), do: Sessions.checkout(pool, target, request)

  @spec check_callback!(term()) :: :ok
  def check_callback!(callback) when is_function(callback, 1), do: :ok

  def check_callback!(callback) do
    raise ArgumentError,
          "expected the callback to be a function of one argument, got: #{inspect(callback)}"
  end
end
