defmodule Snakepit.Jobs.AdaptersTest do
  # Jobs are the same on every kind of worker.
  use ExUnit.Case, async: false

  import Snakepit.Test.JobsHelper, except: [start_pool: 1]

  alias Snakepit.{Error, Jobs}
  alias Snakepit.Test.{Adapters, Beacon, PoolHelper}

  @moduletag :capture_log

  for adapter <- Adapters.all() do
    describe adapter.name do
      for tag <- Map.get(adapter, :tags, []), do: @describetag(tag)

      @options adapter.options
      @streams adapter.streams

      setup do
        options = [
          python: [modules: ["test_handlers", "job_handlers"]],
          javascript: [path: ["test/support/javascript"], modules: ["handlers.js"]]
        ]

        %{pool: PoolHelper.start_pool(options ++ @options), jobs: start_jobs()}
      end

      test "progress, all of it before the end, and no wait for more", %{jobs: jobs} = context do
        id = submit!(context, "steps", %{n: 20})
        assert {:ok, %{"steps" => 20}} = Jobs.result(id, jobs: jobs)
        updates = updates(id, jobs)
        assert Enum.map(updates, & &1["seq"]) == Enum.to_list(1..23)

        assert for(%{"state" => "running", "progress" => part} <- updates, do: part) ==
                 for(step <- 1..20, do: step / 20)

        # Whoever does not say that the reports are over costs a second.
        id = submit!(context, "raises", %{message: "no"})
        assert {:error, %Error{kind: :python}} = Jobs.result(id, jobs: jobs)
        {:ok, %{"started_at" => started, "finished_at" => finished}} = Jobs.status(id, jobs: jobs)
        assert finished - started < 900_000
      end

      test "cancel stops the handler", %{pool: pool, jobs: jobs} = context do
        beacon = Beacon.open()
        id = submit!(context, "busy", %{beacon: beacon.port})
        Beacon.await(beacon, "begun")
        assert Jobs.cancel(id, jobs: jobs) == :ok
        assert %{"state" => "canceled"} = List.last(updates(id, jobs))
        assert {:ok, %{"steps" => 1}} = Snakepit.execute("steps", %{n: 1}, pool: pool)
        assert %{restarts: 0} = Snakepit.get_stats(pool)
      end

      test "a streaming command", %{jobs: jobs} = context do
        id = submit!(context, "steps_stream", %{n: 3})
        result = Jobs.result(id, jobs: jobs)

        if @streams do
          assert result == {:ok, %{"rows" => for(step <- 1..3, do: %{"step" => step})}}
          assert ["queued" | states] = states(updates(id, jobs))
          assert states == List.duplicate("running", 4) ++ ["completed"]
        else
          assert result == {:error, :streaming_not_supported}
          assert %{"state" => "failed", "error_message" => text} = List.last(updates(id, jobs))
          assert is_binary(text)
        end
      end

      test "a batch", %{pool: pool, jobs: jobs} do
        bad = %{command: "raises", args: %{message: "no"}, client_request_id: "bad"}
        good = for n <- 1..9, do: %{command: "steps", args: %{n: n}, client_request_id: "#{n}"}

        results =
          good |> List.insert_at(4, bad) |> Jobs.submit_batch_stream(pool: pool, jobs: jobs)

        finals = for %{"result" => result} <- results, result != {"submitted"}, do: result
        assert %{"completed" => 9, "error" => 1} = Enum.frequencies_by(finals, &elem(&1, 0))
      end
    end
  end
end
