defmodule Snakepit.Jobs.BatchTest do
  use ExUnit.Case, async: false

  import Snakepit.Test.Await, only: [await_free: 1, eventually: 1]
  import Snakepit.Test.JobsHelper
  import Snakepit.Test.PoolHelper, only: [kill: 1]
  import Snakepit.Test.StreamMemory, only: [grown: 2]

  alias Snakepit.{Error, Jobs}
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  setup do
    %{pool: start_pool(), jobs: start_jobs()}
  end

  defp run(items, %{pool: pool, jobs: jobs}, opts \\ []),
    do: items |> Jobs.submit_batch_stream([pool: pool, jobs: jobs] ++ opts) |> Enum.to_list()

  defp finals(results), do: Enum.reject(results, &(&1["result"] == {"submitted"}))

  defp nap(id, ms \\ 1), do: %{command: "nap", args: %{ms: ms}, client_request_id: id}

  test "every item is submitted and completed, under the id it came with", context do
    ids = for n <- 1..20, do: "item-#{n}"
    results = run(Enum.map(ids, &nap/1), context)
    assert length(results) == 40

    for id <- ids do
      assert [
               %{"result" => {"submitted"}, "job_id" => job_id},
               %{"result" => {"completed", %{"slept" => 1}}, "job_id" => job_id}
             ] = Enum.filter(results, &(&1["client_request_id"] == id))
    end

    assert Jobs.list(jobs: context.jobs) == []
  end

  test "no more items run at a time than single calls might", %{jobs: jobs} do
    for options <- [[max_concurrent_streams: 2], []] do
      pool = start_pool(options)
      limits = if options == [], do: [max_concurrency: 2], else: []
      items = for _ <- 1..10, do: %{command: "count_running"}
      results = run(items, %{pool: pool, jobs: jobs}, limits)
      assert length(finals(results)) == 10
      assert {:ok, %{"most" => most}} = Snakepit.execute("count_running", %{}, pool: pool)
      assert most == 2
    end

    pool = start_pool()
    jobs = start_jobs(max_concurrent_jobs: 2)
    run(for(_ <- 1..10, do: %{command: "count_running"}), %{pool: pool, jobs: jobs})
    assert {:ok, %{"most" => 2}} = Snakepit.execute("count_running", %{}, pool: pool)
  end

  test "a slow first item delays no other", context do
    beacon = Beacon.open()
    slow = %{command: "steps", args: %{n: 1, beacon: beacon.port}, client_request_id: "slow"}
    test = self()

    batch =
      Task.async(fn ->
        Jobs.submit_batch([slow | for(n <- 1..5, do: nap("quick-#{n}"))], &send(test, &1),
          pool: context.pool,
          jobs: context.jobs
        )
      end)

    handler = Beacon.await(beacon, "reported")

    for n <- 1..5,
        do:
          assert_receive(
            %{"client_request_id" => "quick-" <> _, "result" => {"completed", _}},
            5_000,
            "#{n}"
          )

    refute_received %{"client_request_id" => "slow", "result" => {"completed", _}}
    Beacon.release(beacon, handler)
    assert Task.await(batch) == :ok
    assert_received %{"client_request_id" => "slow", "result" => {"completed", _}}
  end

  test "bad items end nothing but themselves" do
    pool = start_pool(pool_size: 2, max_message_size: 1_000_000)
    jobs = start_jobs()
    good = for n <- 1..7, do: nap("good-#{n}", 20)

    bad = [
      %{command: "nap", args: "fast", client_request_id: "payload"},
      %{command: "no_such_command", client_request_id: "unknown"},
      %{command: "nap", args: %{ms: self()}, client_request_id: "unencodable"},
      %{command: "large", args: %{size: 2_000_000}, client_request_id: "too large"},
      %{command: "raises", args: %{message: "no"}, client_request_id: "raises"},
      %{command: "die", client_request_id: "dies"}
    ]

    {early, late} = Enum.split(good, 3)
    results = run(early ++ bad ++ late, %{pool: pool, jobs: jobs}, idempotent: true)
    finals = finals(results)
    assert length(finals) == 13

    assert %{"completed" => 7, "error" => 6} = Enum.frequencies_by(finals, &elem(&1["result"], 0))

    codes =
      for %{"client_request_id" => id, "result" => {"error", code, message, retryable}} <- finals,
          into: %{} do
        assert is_binary(message) and message != ""
        {id, {code, retryable}}
      end

    assert codes == %{
             "payload" => {"invalid_arguments", false},
             "unknown" => {"unknown_command", false},
             "unencodable" => {"encoding", false},
             "too large" => {"too_large", false},
             "raises" => {"python", false},
             "dies" => {"worker_exited", true}
           }
  end

  test "what is no item is told so", context do
    results = run([:nothing, %{}, %{command: ""}, %{command: "nap", comand: 1}, nap(7)], context)
    assert length(results) == 5

    for result <- results do
      assert %{"job_id" => nil, "result" => {"error", "invalid_arguments", message, false}} =
               result

      assert message =~ "batch item"
    end
  end

  test "items may have strings as keys", context do
    item = %{"command" => "nap", "args" => %{"ms" => 1}, "client_request_id" => "x"}

    assert [%{"client_request_id" => "x", "result" => {"completed", _}}] =
             finals(run([item], context))
  end

  test "in order, if that is wished", context do
    items = for n <- 1..20, do: nap("#{n}", rem(n * 7, 5) * 5)
    ordered = finals(run(items, context, ordered: true))
    assert Enum.map(ordered, & &1["client_request_id"]) == for(n <- 1..20, do: "#{n}")
  end

  describe "an id that was used before" do
    test "is refused", context do
      results = run([nap("a", 20), nap("a"), nap("b")], context)
      assert [_, _] = for(%{"result" => {"completed", _}} = result <- results, do: result)

      assert [{code, message}] =
               for(%{"result" => {"error", code, text, false}} <- results, do: {code, text})

      assert code == "invalid_arguments"
      assert message =~ ~s("a" was used before)
    end

    test "gets the result of the other, whether that has ended or not", context do
      items =
        [nap("a", 20), nap("a", 99), nap("b"), nap(nil), nap(nil)]
        |> Enum.map(&Map.reject(&1, fn {_k, v} -> v == nil end))

      finals = finals(run(items ++ [nap("a", 98)], context, on_duplicate: :replay))
      assert length(finals) == 6

      results =
        for %{"client_request_id" => "a"} = result <- finals,
            do: {result["job_id"], result["result"]}

      assert [{_job_id, {"completed", %{"slept" => 20}}}] = Enum.uniq(results)
      assert length(results) == 3
    end
  end

  test "results are remembered up to so many bytes", context do
    large = %{command: "large", args: %{size: 100_000}, client_request_id: "large"}
    small = nap("small")
    opts = [on_duplicate: :replay, max_concurrency: 1]

    ids = fn opts ->
      for %{"client_request_id" => id, "job_id" => job_id} <-
            finals(run([small, small, large, large], context, opts)),
          uniq: true,
          do: {id, job_id}
    end

    assert [{"small", _}, {"large", _}] = ids.(opts)

    assert [{"small", _}, {"large", first}, {"large", again}] =
             ids.([remember_bytes: 50_000] ++ opts)

    assert first != again
  end

  describe "when the consumer is gone" do
    setup do
      beacon = Beacon.open()
      item = %{command: "busy", args: %{beacon: beacon.port}}
      %{beacon: beacon, items: Stream.repeatedly(fn -> item end)}
    end

    defp await_no_jobs(jobs), do: eventually(fn -> Jobs.list(jobs: jobs) == [] end)

    test "items are cancelled", %{pool: pool, jobs: jobs, beacon: beacon, items: items} do
      opts = [pool: pool, jobs: jobs, max_concurrency: 3]
      consumer = spawn(fn -> Jobs.submit_batch(items, fn _ -> :ok end, opts) end)
      for _ <- 1..3, do: Beacon.await(beacon, "begun")
      kill(consumer)
      await_no_jobs(jobs)
      await_free(pool)
      assert %{restarts: 0} = Snakepit.get_stats(pool)
    end

    test "items are cancelled when it halts or raises", %{pool: pool, jobs: jobs} = context do
      opts = [pool: pool, jobs: jobs, max_concurrency: 3]
      assert Jobs.submit_batch(context.items, fn _ -> :halt end, opts) == :ok
      assert Jobs.list(jobs: jobs) == []

      assert_raise RuntimeError, "enough", fn ->
        Jobs.submit_batch(context.items, fn _ -> raise "enough" end, opts)
      end

      assert [_one] = context.items |> Jobs.submit_batch_stream(opts) |> Enum.take(1)
      assert Jobs.list(jobs: jobs) == []
      await_free(pool)
      refute_received {_ref, _any}
    end

    test "items go on, if that is wished", %{pool: pool, jobs: jobs} do
      beacon = Beacon.open()
      item = %{command: "steps", args: %{n: 1, beacon: beacon.port}}
      opts = [pool: pool, jobs: jobs, detach: true]
      consumer = spawn(fn -> Jobs.submit_batch([item], fn _ -> :ok end, opts) end)
      handler = Beacon.await(beacon, "reported")
      kill(consumer)
      Beacon.release(beacon, handler)
      assert [%{"job_id" => id}] = Jobs.list(jobs: jobs)
      assert {:ok, %{"steps" => 1}} = Jobs.result(id, jobs: jobs)
    end

    test "items that go on leave nothing in the mailbox", %{pool: pool, jobs: jobs} do
      items = [nap("a", 50), nap("b", 50)]
      opts = [pool: pool, jobs: jobs, detach: true]

      assert [%{"job_id" => id}] = items |> Jobs.submit_batch_stream(opts) |> Enum.take(1)
      assert {:ok, %{"slept" => 50}} = Jobs.result(id, jobs: jobs)
      refute_received _any
    end
  end

  test "an enumerable that raises ends the batch with what it raised", context do
    items =
      Stream.map(1..10, fn n -> if n == 4, do: raise("no more items"), else: nap("#{n}") end)

    assert_raise RuntimeError, "no more items", fn -> run(items, context) end
    assert Jobs.list(jobs: context.jobs) == []
    refute_received {_ref, _any}
  end

  test "the enumerable is read no faster than items finish", context do
    beacon = Beacon.open()
    read = :counters.new(1, [])

    items =
      Stream.repeatedly(fn ->
        :counters.add(read, 1, 1)
        %{command: "steps", args: %{n: 1, beacon: beacon.port}}
      end)

    opts = [pool: context.pool, jobs: context.jobs, max_concurrency: 2]
    batch = Task.async(fn -> items |> Jobs.submit_batch_stream(opts) |> finals_of(3) end)

    for _ <- 1..3 do
      handler = Beacon.await(beacon, "reported")
      assert :counters.get(read, 1) <= 5
      Beacon.release(beacon, handler)
    end

    # Those that are on their way when the third is done.
    assert length(Task.await(batch)) == 3
    assert :counters.get(read, 1) <= 5
  end

  defp finals_of(results, count),
    do: results |> Stream.reject(&(&1["result"] == {"submitted"})) |> Enum.take(count)

  test "a batch waits until others leave it room", %{pool: pool} do
    jobs = start_jobs(max_concurrent_jobs: 1, max_queued_jobs: 0)
    context = %{pool: pool, jobs: jobs}
    beacon = Beacon.open()
    held = submit!(context, "steps", %{n: 1, beacon: beacon.port})
    handler = Beacon.await(beacon, "reported")
    batch = Task.async(fn -> run(for(n <- 1..3, do: nap("#{n}")), context) end)
    refute Task.yield(batch, 100)
    Beacon.release(beacon, handler)
    assert {:ok, _steps} = Jobs.result(held, jobs: jobs)

    assert %{"completed" => 3} =
             batch |> Task.await() |> finals() |> Enum.frequencies_by(&elem(&1["result"], 0))
  end

  test "others who fill the queue delay a batch, and do not break it", %{pool: pool} do
    jobs = start_jobs(max_concurrent_jobs: 1, max_queued_jobs: 1)

    results =
      run(for(n <- 1..8, do: nap("#{n}", 2)), %{pool: pool, jobs: jobs}, max_concurrency: 5)

    assert %{"completed" => 8} =
             results |> finals() |> Enum.frequencies_by(&elem(&1["result"], 0))
  end

  @tag timeout: 120_000
  test "a hundred thousand items take the memory of those on their way", %{pool: pool, jobs: jobs} do
    items = Stream.map(1..100_000, fn n -> %{command: "echo", args: %{n: n}} end)
    opts = [pool: pool, jobs: jobs, max_concurrency: 10]
    run = fn items -> Jobs.submit_batch(items, fn _ -> :ok end, opts) end
    :ok = run.(Stream.take(items, 5_000))
    {:ok, growth} = grown(pool, fn -> run.(items) end)
    assert growth.vm < 16 * 1_048_576
    assert growth.worker < 16 * 1_048_576
  end

  test "wrong options raise", context do
    assert_raise ArgumentError, ~r/did you mean :ordered/, fn ->
      run([], context, orderd: true)
    end

    assert_raise ArgumentError, ~r/expected :stream or a function/, fn ->
      Jobs.submit_batch([], :no)
    end

    assert {:error, :not_found} = Jobs.submit_batch([], fn _ -> :ok end, jobs: :no_such_jobs)
    assert %Error{} = assert_raise(Error, fn -> run([], %{pool: :x, jobs: :no_such_jobs}) end)
  end
end
