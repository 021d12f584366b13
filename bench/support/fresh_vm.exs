defmodule Bench.FreshVM do
  @moduledoc false
  # Runs one of bench/probes in a VM of its own, where nothing else has left its memory or its timers.

  alias Bench.Program

  @doc """
  What the probe prints last, which is JSON.
  """
  @spec run(String.t(), [term()]) :: term()
  def run(probe, args) do
    {output, 0} = System.cmd("elixir", args(probe, args))
    output |> String.split("\n", trim: true) |> List.last() |> JSON.decode!()
  end

  @doc """
  Starts a probe that says and is told something in between.
  """
  @spec start(String.t()) :: pid()
  def start(probe) do
    {:ok, program} = Program.start_link(System.find_executable("elixir"), args(probe, []))
    program
  end

  defp args(probe, args) do
    code = Path.join(:code.lib_dir(:snakepit), "ebin")
    ["-pa", code, "bench/probes/#{probe}.exs" | Enum.map(args, &to_string/1)]
  end
end
