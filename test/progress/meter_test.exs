defmodule Snakepit.Progress.MeterTest do
  # How far, how fast, and when to say so, on a clock of the test's own.
  use ExUnit.Case, async: true

  alias Snakepit.Progress.Meter

  @options %{value: nil, total: nil, message: nil, label: "", unit: "", width: 30}

  defp meter(options \\ [], since \\ 0),
    do: Meter.new(Map.merge(@options, Map.new(options)), since)

  defp add(meter, chunk, now), do: Meter.add(meter, Map.put(chunk, "is_final", false), now)
  defp finish(meter, chunk, now), do: Meter.finish(meter, Map.put(chunk, "is_final", true), now)

  defp after_chunk(chunk, options \\ []),
    do: options |> meter() |> add(chunk, 10) |> Meter.view(10)

  describe "what a chunk says" do
    test "is counted when it says nothing" do
      view =
        meter() |> add(%{"message" => "a"}, 1) |> add(%{"message" => "b"}, 2) |> Meter.view(2)

      assert %{value: 2, total: nil, fraction: nil, unit: "chunks"} = view
    end

    test "is counted against a total" do
      assert %{value: 1, total: 4, fraction: 0.25} = after_chunk(%{"epoch" => 7}, total: 4)
    end

    test "are rows of rows" do
      chunk = %{"processed_rows" => 30, "total_rows" => 40, "progress_percent" => 1.0}
      assert %{value: 30, total: 40, fraction: 0.75, unit: "rows"} = after_chunk(chunk)
    end

    test "is a percentage" do
      assert %{fraction: 0.4, value: nil} = after_chunk(%{"progress_percent" => 40.0})
      assert %{fraction: 0.4, value: nil} = after_chunk(%{"progress" => 40})
    end

    test "is the place among the chunks of a job's rows, if their number is known" do
      assert %{value: 2, total: 4} = after_chunk(%{"chunk_index" => 1, "total_chunks" => 4})
      assert %{value: 1, total: nil} = after_chunk(%{"chunk_index" => 1, "total_chunks" => nil})
    end

    test "is a job's fraction, with its message or its state" do
      job = %{"job_id" => "job", "seq" => 1}
      assert %{message: "queued", fraction: nil} = after_chunk(Map.put(job, "state", "queued"))
      running = Map.merge(job, %{"state" => "running", "progress" => 0.4})
      assert %{message: nil, fraction: 0.4} = after_chunk(running)

      assert %{message: "epoch 4", value: nil} =
               after_chunk(Map.put(running, "progress_message", "epoch 4"))
    end

    test "is found by keys and functions" do
      chunk = %{"loss" => 0.5, "at" => %{"step" => 3, "of" => 12}, "note" => "warm"}
      options = [value: & &1["at"]["step"], total: & &1["at"]["of"], message: "note"]
      assert %{value: 3, total: 12, fraction: 0.25, message: "warm"} = after_chunk(chunk, options)
      assert %{value: 0.5, fraction: 0.5} = after_chunk(chunk, value: "loss", total: 1)
      assert %{value: nil, fraction: nil} = after_chunk(chunk, value: "note", total: "nothing")
    end

    test "is not asked of functions when it is the final one" do
      options = [value: &(&1["n"] + 1), total: &(&1["of"] + 0), message: &String.upcase(&1["m"])]
      chunk = %{"n" => 1, "of" => 4, "m" => "a"}
      meter = options |> meter() |> add(chunk, 1) |> finish(%{"path" => "model"}, 2)
      assert %{value: 2, total: 4, fraction: 0.5} = Meter.view(meter, 2)
    end

    test "stays known when the next one says nothing" do
      view =
        meter()
        |> add(%{"log" => "begin"}, 1)
        |> add(%{"progress" => 50}, 2)
        |> add(%{"log" => "half"}, 3)
        |> finish(%{"path" => "model"}, 4)
        |> Meter.view(4)

      assert %{fraction: 1, value: nil} = view
    end

    test "may be what is no number at all" do
      for value <- [nil, :nan, "40", [], %{}] do
        assert %{fraction: nil} = after_chunk(%{"progress" => value})
        assert %{value: nil} = after_chunk(%{"n" => value}, value: "n", total: 10)
        assert %{fraction: nil} = after_chunk(%{"n" => 1, "of" => value}, value: "n", total: "of")
      end

      assert %{fraction: nil} = after_chunk(%{"processed_rows" => 0, "total_rows" => 0})
    end
  end

  describe "the final chunk" do
    test "counts if it has something to say and the total has room for it" do
      for {total, chunk, count} <- [
            {3, %{"n" => 3}, 3},
            {2, %{"path" => "model"}, 2},
            {nil, %{"n" => 3}, 3},
            {nil, %{}, 2}
          ] do
        meter = [total: total] |> meter() |> add(%{}, 1) |> add(%{}, 2)
        assert %{value: ^count} = meter |> finish(chunk, 3) |> Meter.view(3)
      end
    end

    test "leaves a count as it is, and completes a percentage" do
      short = [total: 4] |> meter() |> add(%{}, 1) |> finish(%{}, 2) |> Meter.view(2)
      assert %{value: 1, fraction: 0.25, problem: nil} = short
      coarse = meter() |> add(%{"progress" => 80}, 1) |> finish(%{}, 2) |> Meter.view(2)
      assert %{fraction: 1} = coarse
    end

    test "of a failed stream has its error, and does not count" do
      meter = [total: 4] |> meter() |> add(%{}, 1) |> finish(%{"error" => "no memory"}, 2)
      assert %{problem: "no memory", value: 1, left: nil} = Meter.view(meter, 2)
    end

    test "of a job says how it ended" do
      for {state, problem} <- [{"completed", nil}, {"canceled", "canceled"}] do
        update = %{"job_id" => "job", "state" => state, "error_message" => nil}
        assert %{problem: ^problem} = meter() |> finish(update, 2) |> Meter.view(2)
      end

      update = %{"job_id" => "job", "state" => "failed", "error_message" => "no memory"}
      assert %{problem: "no memory"} = meter() |> finish(update, 2) |> Meter.view(2)
    end
  end

  describe "rate and time left" do
    test "are those since the call began" do
      view =
        [total: 10] |> meter(1_000) |> add(%{}, 2_000) |> add(%{}, 3_000) |> Meter.view(3_000)

      assert %{rate: 1.0, elapsed: 2_000, left: 8_000} = view
    end

    test "are those since the first chunk if nobody knows of a call" do
      view = [total: 10] |> meter(nil) |> add(%{}, 5_000) |> add(%{}, 7_000) |> Meter.view(7_000)
      assert %{rate: 0.5, elapsed: 2_000, left: 16_000} = view
    end

    test "are not guessed from a moment, nor without progress" do
      assert %{rate: nil, left: nil} = [total: 10] |> meter() |> add(%{}, 100) |> Meter.view(100)
      still = meter() |> add(%{"progress" => 0}, 9_000) |> Meter.view(9_000)
      assert %{rate: nil, left: nil} = still
    end
  end

  describe "it is due" do
    defp shown(style, steps) do
      {shown, _meter} =
        Enum.flat_map_reduce(steps, meter(), fn {now, percent}, meter ->
          meter = add(meter, %{"progress" => percent}, now)

          if Meter.due?(meter, style, now),
            do: {[now], Meter.shown(meter, now)},
            else: {[], meter}
        end)

      shown
    end

    test "ten times a second in a terminal" do
      assert shown(:bar, for(now <- 0..999//10, do: {now, 1})) == Enum.to_list(0..900//100)
    end

    test "after ten percent in lines, or after ten seconds" do
      steps = for second <- 1..40, do: {second * 1_000, second}
      assert shown(:lines, steps) == [10_000, 20_000, 30_000, 40_000]
      slow = for second <- 1..40, do: {second * 1_000, second / 10}
      assert shown(:lines, slow) == [10_000, 20_000, 30_000, 40_000]
      quick = for tenth <- 0..100, do: {tenth * 100, tenth}
      assert shown(:lines, quick) == Enum.to_list(1_000..10_000//1_000)
    end
  end
end
