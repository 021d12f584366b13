defmodule Snakepit.Test.StreamMemory do
  @moduledoc """
  How far the memory of this VM and of a worker process grows while something runs.
  """

  import Snakepit.Test.StreamHelper, only: [os_pid: 1, rss: 1]

  @interval 5

  @doc """
  Runs `fun` and returns `{result, growth}`: the highest resident memory of the VM and of the worker
  meanwhile, in bytes above what it was before.
  """
  def grown(pool, fun) do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    processes = [vm: os_pid(), worker: os_pid(pool)]
    before = Map.new(processes, fn {name, os_pid} -> {name, rss(os_pid)} end)
    sampler = spawn_link(fn -> sample(processes, before) end)
    result = fun.()
    send(sampler, {:stop, self()})

    peak =
      receive do
        {^sampler, peak} -> peak
      end

    {result, Map.new(peak, fn {name, bytes} -> {name, bytes - before[name]} end)}
  end

  defp os_pid, do: String.to_integer(System.pid())

  defp sample(processes, peak) do
    peak =
      Map.new(processes, fn {name, os_pid} -> {name, max(peak[name], rss(os_pid))} end)

    receive do
      {:stop, from} -> send(from, {self(), peak})
    after
      @interval -> sample(processes, peak)
    end
  end
end
