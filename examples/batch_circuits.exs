# Quantum circuits as a batch of jobs: every circuit is simulated in Python, its progress is watched
# and its counts are read in chunks. One of them is malformed, and harms no other. Run it with
#
#     scripts/setup && .venv/bin/pip install numpy
#     mix run examples/batch_circuits.exs

defmodule BatchCircuits do
  @moduledoc """
  Submits the circuits, and shows what becomes of each.
  """

  alias Snakepit.Jobs

  @shots 4_000

  # Measured values per chunk; a result of millions is read in the same way.
  @chunk 4

  @head """
  OPENQASM 3.0;
  include "stdgates.inc";
  """

  def circuits do
    [
      {"bell", "qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;"},
      {"ghz", "qubit[3] q; bit[3] c; h q[0]; cx q[0], q[1]; cx q[1], q[2]; c = measure q;"},
      {"rotated", "qubit q; bit c; ry(pi / 3) q; c = measure q;"},
      {"malformed", "qubit[2] q; bit[2] c;\nh q[0];\ncx q[0], q[2];\nc = measure q;"},
      {"uniform", "qubit[4] q; bit[4] c; h q; c = measure q;"},
      {"interference", "qubit q; bit c; h q; rz(pi / 2) q; h q; c = measure q;"},
      {"phases", "qubit[2] q; bit[2] c; h q; s q[0]; t q[0]; cz q[0], q[1]; h q; c = measure q;"}
    ]
  end

  def run do
    # The jobs stay when they are done, for the counts to be read.
    :ok = Jobs.submit_batch(items(), &show/1, detach: true)
  end

  defp items do
    for {{name, circuit}, seed} <- Enum.with_index(circuits()) do
      args = %{circuit: @head <> circuit, shots: @shots, seed: seed}
      %{command: "simulate", args: args, client_request_id: name}
    end
  end

  defp show(%{"client_request_id" => name, "result" => {"error", code, message, _retryable}}),
    do: IO.puts("#{name}: #{code}: #{message}")

  defp show(%{"client_request_id" => name, "job_id" => job_id, "result" => result}) do
    case result do
      {"submitted"} -> IO.puts("#{name}: submitted")
      {"completed", _value} -> show_job(name, job_id)
    end
  end

  defp show_job(name, job_id) do
    states = for update <- Jobs.watch(job_id, :stream), do: state(update)
    IO.puts("#{name}: #{states |> Enum.dedup() |> Enum.join(", ")}")

    :ok =
      Jobs.stream_results(
        job_id,
        fn %{"counts" => counts, "chunk_index" => index, "total_chunks" => total} ->
          counted = for {bits, count} <- Enum.sort(counts), do: " #{bits}=#{count}"
          IO.puts("#{name}: counts #{index + 1}/#{total}#{counted}")
        end,
        chunk_size: @chunk
      )

    :ok = Jobs.delete(job_id)
  end

  defp state(%{"state" => "running", "progress" => progress}), do: "#{round(progress * 100)} %"
  defp state(%{"state" => state}), do: state
end

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 2, python: [modules: ["snakepit_bridge.examples.circuits"]]}],
    strategy: :one_for_one
  )

BatchCircuits.run()
