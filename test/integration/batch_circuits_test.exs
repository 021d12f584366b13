defmodule Snakepit.Integration.BatchCircuitsTest do
  # Circuits in a batch: what Python counts, against exact probabilities computed here.
  use ExUnit.Case, async: true

  import Snakepit.Test.JobsHelper, only: [start_jobs: 0, updates: 2]
  import Snakepit.Test.PoolHelper

  alias Snakepit.Jobs
  alias Snakepit.Test.Circuit

  @shots 20_000
  @qubits 4

  test "the counts of a batch are as likely as they should be, and one circuit is malformed" do
    pool = start_pool(pool_size: 2, python: [modules: ["snakepit_bridge.examples.circuits"]])
    jobs = start_jobs()
    circuits = for seed <- 1..20, do: Circuit.random(@qubits, 30, seed)

    items =
      for {gates, seed} <- Enum.with_index(circuits),
          do: item("#{seed}", Circuit.to_qasm(gates, @qubits), seed)

    malformed = item("malformed", "OPENQASM 3.0;\nqubit[2] q;\nh q[5];\n", 0)
    items = List.insert_at(items, 10, malformed)
    results = Jobs.submit_batch_stream(items, pool: pool, jobs: jobs, detach: true)

    {failed, done} =
      results
      |> Enum.reject(&(&1["result"] == {"submitted"}))
      |> Enum.split_with(&match?(%{"result" => {"error", _, _, _}}, &1))

    assert [%{"client_request_id" => "malformed", "job_id" => id, "result" => error}] = failed
    assert {"error", "invalid_arguments", message, false} = error
    assert message =~ "line 3: q has 2 qubits, there is no q[5]"
    assert %{"state" => "failed", "error_message" => ^message} = List.last(updates(id, jobs))

    assert length(done) == 20

    for %{"client_request_id" => name, "job_id" => id} <- done do
      updates = updates(id, jobs)
      assert %{"state" => "completed", "progress" => 1.0} = List.last(updates)
      chunks = id |> Jobs.stream_results(:stream, jobs: jobs, chunk_size: 3) |> Enum.to_list()
      assert Enum.all?(chunks, &(map_size(&1["counts"]) in 1..3))
      counts = Enum.reduce(chunks, %{}, &Map.merge(&2, &1["counts"]))
      exact = circuits |> Enum.at(String.to_integer(name)) |> Circuit.probabilities(@qubits)
      assert_likely(counts, exact, @shots)
    end
  end

  defp item(name, circuit, seed) do
    args = %{circuit: circuit, shots: @shots, seed: seed}
    %{command: "simulate", args: args, client_request_id: name}
  end

  # Five standard deviations and one count: a right simulator fails once in a million runs, and the
  # seeds are fixed.
  defp assert_likely(counts, exact, shots) do
    assert counts |> Map.values() |> Enum.sum() == shots
    assert Map.keys(counts) -- Map.keys(exact) == []
    assert_in_delta exact |> Map.values() |> Enum.sum(), 1.0, 1.0e-9

    for {bits, probability} <- exact do
      bound = 5 * :math.sqrt(max(shots * probability * (1 - probability), 0.0)) + 1
      assert_in_delta Map.get(counts, bits, 0), shots * probability, bound
    end
  end

  test "the example shows every circuit, and the line of the malformed one" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/batch_circuits.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    counts = counts(output)
    half = %{"0" => 0.5, "1" => 0.5}

    exact = %{
      "bell" => %{"00" => 0.5, "11" => 0.5},
      "ghz" => %{"000" => 0.5, "111" => 0.5},
      "rotated" => %{"0" => 0.75, "1" => 0.25},
      "interference" => half,
      "uniform" => for(n <- 0..15, into: %{}, do: {bits(n), 1 / 16}),
      "phases" => Map.new(~w(00 01 10 11), &{&1, 0.25})
    }

    assert Enum.sort(Map.keys(counts)) == Enum.sort(Map.keys(exact))
    for {name, exact} <- exact, do: assert_likely(counts[name], exact, 4_000)
    assert output =~ "malformed: submitted"
    assert output =~ ~r/^malformed: invalid_arguments: .*line 5: q has 2 qubits/m
    assert output =~ ~r/^uniform: queued, running, .*100 %, completed$/m
    assert output =~ ~r"^uniform: counts 4/4 "m
    assert length(Regex.scan(~r/invalid_arguments/, output)) == 1
  end

  defp bits(n), do: n |> Integer.to_string(2) |> String.pad_leading(4, "0")

  defp counts(output) do
    for [_line, name, counts] <- Regex.scan(~r"^(\w+): counts \d+/\d+(.*)$"m, output),
        [_pair, bits, count] <- Regex.scan(~r/(\d+)=(\d+)/, counts),
        reduce: %{} do
      all -> Map.update(all, name, %{bits => to_i(count)}, &Map.put(&1, bits, to_i(count)))
    end
  end

  defp to_i(text), do: String.to_integer(text)
end
