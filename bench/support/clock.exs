defmodule Bench.Clock do
  @moduledoc false
  # How long things take, one after the other or at once.

  @type nanoseconds :: integer()

  @spec now() :: nanoseconds()
  def now, do: System.monotonic_time(:nanosecond)

  @spec duration((-> term())) :: nanoseconds()
  def duration(fun) do
    started = now()
    fun.()
    now() - started
  end

  @spec timed((-> result)) :: {result, nanoseconds()} when result: term()
  def timed(fun) do
    started = now()
    result = fun.()
    {result, now() - started}
  end

  @spec repeat(pos_integer(), (-> result)) :: [result] when result: term()
  def repeat(count, fun), do: for(_ <- 1..count, do: fun.())

  @doc """
  How long each of `count` calls took that so many processes made together, and all of them. The
  clock starts when every process has warmed up.
  """
  @spec together(pos_integer(), pos_integer(), pos_integer(), (-> term())) ::
          {[nanoseconds()], nanoseconds()}
  def together(callers, count, warm_up, call) do
    {latencies, elapsed} =
      all(callers, fn -> repeat(warm_up, call) end, fn ->
        repeat(max(div(count, callers), 1), fn -> duration(call) end)
      end)

    {Enum.concat(latencies), elapsed}
  end

  @doc """
  What each of so many processes gives, and how long all of them take.
  """
  @spec all(pos_integer(), (-> term()), (-> result)) :: {[result], nanoseconds()}
        when result: term()
  def all(processes, warm_up, work) do
    parent = self()

    tasks =
      for _ <- 1..processes do
        Task.async(fn ->
          warm_up.()
          send(parent, {:warm, self()})
          receive do: (:go -> work.())
        end)
      end

    for %Task{pid: pid} <- tasks, do: receive(do: ({:warm, ^pid} -> :ok))

    timed(fn ->
      for %Task{pid: pid} <- tasks, do: send(pid, :go)
      Task.await_many(tasks, :infinity)
    end)
  end

  @doc """
  The figures of calls.
  """
  @spec figures([nanoseconds()], nanoseconds()) :: %{String.t() => float()}
  def figures(latencies, elapsed) do
    sorted = latencies |> Enum.sort() |> List.to_tuple()
    count = tuple_size(sorted)
    at = fn share -> elem(sorted, div(count * share, 100)) / 1.0e3 end
    %{"p50_us" => at.(50), "p99_us" => at.(99), "per_s" => count * 1.0e9 / elapsed}
  end
end
