defmodule Snakepit.MetricsTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.{Jobs, Metrics}
  alias Snakepit.Metrics.{Catalog, Store}
  alias Snakepit.Test.{Beacon, StreamHelper}

  @moduletag :capture_log
  @moduletag :tmp_dir

  # What a Prometheus server would make of the text: `{family, [sample]}` by the name.
  defp scrape(tmp_dir) do
    path = Path.join(tmp_dir, "metrics-#{System.unique_integer([:positive])}.txt")
    File.write!(path, Metrics.prometheus())
    script = "test/support/programs/parse_metrics.py"
    {json, 0} = System.cmd(Path.expand(".venv/bin/python"), [script, path])
    Map.new(JSON.decode!(json), &{&1["name"], &1})
  end

  # The value of one sample of this test's pool.
  defp value(families, name, pool, labels \\ []) do
    family = families[String.replace_suffix(name, "_total", "")] || families[base(name)]
    labels = Map.new(labels, fn {key, value} -> {to_string(key), to_string(value)} end)
    labels = Map.put(labels, "pool", to_string(pool))

    Enum.find_value(family["samples"], fn sample ->
      if sample["name"] == name and sample["labels"] == labels, do: sample["value"]
    end)
  end

  defp base(name), do: String.replace(name, ~r/_(bucket|sum|count)$/, "")

  test "is what Prometheus reads, with a type and a sentence for every metric", %{tmp_dir: dir} do
    pool = start_pool()
    {:ok, _} = Snakepit.execute("os_pid", %{}, pool: pool)
    families = scrape(dir)

    known =
      for metric <- Catalog.all(),
          into: %{},
          do: {String.replace_suffix(metric.name, "_total", ""), metric}

    for {name, family} <- families do
      metric = Map.fetch!(known, name)
      assert family["type"] == to_string(metric.type)
      assert family["help"] == metric.help
      assert family["samples"] != []
    end
  end

  test "counts calls by their result, and measures them", %{tmp_dir: dir} do
    pool = start_pool()
    for _ <- 1..5, do: {:ok, _} = Snakepit.execute("os_pid", %{}, pool: pool)
    for _ <- 1..2, do: Snakepit.execute("raise_error", %{message: "no"}, pool: pool)
    {:error, _} = Snakepit.execute("nothing of the kind", %{}, pool: pool)
    {:error, :worker_timeout} = Snakepit.execute("wait_async", %{}, pool: pool, timeout: 30)

    families = scrape(dir)

    calls = fn command, result ->
      value(families, "snakepit_calls_total", pool, command: command, type: :call, result: result)
    end

    assert calls.("os_pid", :ok) == 5
    assert calls.("raise_error", :python) == 2
    assert calls.("wait_async", :worker_timeout) == 1
    assert calls.("(unknown)", :unknown_command) == 1

    histogram = &value(families, "snakepit_call_duration_seconds_#{&1}", pool, &2)
    assert histogram.("count", command: "os_pid") == 5
    assert histogram.("bucket", command: "os_pid", le: "+Inf") == 5
    assert histogram.("bucket", command: "wait_async", le: "0.025") == 0
    assert histogram.("bucket", command: "wait_async", le: "300.0") == 1
    assert histogram.("sum", command: "wait_async") >= 0.03
    assert histogram.("sum", command: "wait_async") < 30
  end

  test "the buckets of a histogram are cumulative" do
    for ms <- [0, 0, 3, 40, 400_000],
        do: Store.observe(:call_duration, {:bucket_test, "x"}, ms * 1_000_000)

    buckets =
      for line <- String.split(Metrics.prometheus(), "\n"),
          String.starts_with?(line, "snakepit_call_duration_seconds_bucket{pool=\"bucket_test\""),
          do: line |> String.split(" ") |> List.last() |> String.to_integer()

    assert length(buckets) == length(Store.bounds()) + 1
    assert buckets == Enum.sort(buckets)
    assert {hd(buckets), Enum.at(buckets, -2), List.last(buckets)} == {2, 4, 5}
  end

  test "measures streams: first chunk, chunks, and what their consumers held up", %{tmp_dir: dir} do
    pool = start_pool()
    slow = fn _chunk -> receive do: (:never -> :ok), after: (10 -> :ok) end
    :ok = Snakepit.execute_stream("count", %{n: 9}, slow, pool: pool, window: 2)

    families = scrape(dir)
    of_command = &value(families, &1, pool, [command: "count"] ++ &2)
    assert of_command.("snakepit_stream_chunks_total", direction: :received) == 10
    assert of_command.("snakepit_stream_bytes_total", []) > 10
    assert of_command.("snakepit_stream_stalls_total", []) >= 1
    stalled = of_command.("snakepit_stream_stalled_seconds_total", [])
    assert of_command.("snakepit_calls_total", type: :stream, result: :ok) == 1
    assert of_command.("snakepit_stream_first_chunk_seconds_count", []) == 1
    total = of_command.("snakepit_stream_duration_seconds_sum", [])
    first = of_command.("snakepit_stream_first_chunk_seconds_sum", [])
    assert 0 < stalled and stalled < total
    assert 0 < first and first < total
  end

  test "reads what is going on: slots, queue, streams, workers, sessions", %{tmp_dir: dir} do
    pool = start_pool(max_concurrent_streams: 2)
    [%{id: id, os_pid: os_pid}] = Snakepit.list_workers(pool)
    {:ok, _session} = Snakepit.Session.create("one", pool: pool)
    beacon = Beacon.open()
    hold = fn -> Snakepit.execute("hold", %{beacon: beacon.port}, pool: pool) end
    holding = Task.async(hold)
    from = Beacon.await(beacon, "held")

    # A stream that is held up by its consumer.
    {:ok, stream} = Snakepit.start_stream("count", %{n: 10_000}, pool: pool, window: 2)
    ref = stream.ref
    for _ <- 1..2, do: assert_receive({:snakepit, ^ref, {:chunk, _chunk}}, 5_000)
    waiting = Task.async(hold)
    StreamHelper.eventually(fn -> Snakepit.get_stats(pool).queued == 1 end)

    families = scrape(dir)
    assert value(families, "snakepit_slots", pool, state: :busy) == 2
    assert value(families, "snakepit_slots", pool, state: :free) == 0
    assert value(families, "snakepit_queue_length", pool) == 1
    assert value(families, "snakepit_streams_running", pool) == 1
    assert value(families, "snakepit_streams_stalled", pool) == 1
    assert value(families, "snakepit_sessions", pool) == 1
    assert value(families, "snakepit_workers", pool, state: :ready) == 1
    assert value(families, "snakepit_worker_in_flight", pool, worker: id) == 2
    assert value(families, "snakepit_worker_requests_total", pool, worker: id) == 2
    memory = value(families, "snakepit_worker_resident_memory_bytes", pool, worker: id)
    assert_in_delta memory, StreamHelper.rss(os_pid), 20_000_000
    assert value(families, "snakepit_worker_cpu_seconds_total", pool, worker: id) >= 0
    assert value(families, "snakepit_worker_starts_total", pool, result: :ok) == 1
    assert value(families, "snakepit_session_events_total", pool, event: :opened) == 1

    :ok = Snakepit.cancel(stream)
    Beacon.release(beacon, from)
    Beacon.release(beacon, Beacon.await(beacon, "held"))
    for task <- [holding, waiting], do: {:ok, _} = Task.await(task)

    families = scrape(dir)
    assert value(families, "snakepit_queue_wait_seconds_count", pool, command: "hold") == 1
    assert value(families, "snakepit_streams_running", pool) == 0
  end

  test "counts jobs of each service by their last state", %{tmp_dir: dir} do
    pool = start_pool()
    jobs = :"jobs_#{pool}"
    start_supervised!({Jobs, name: jobs})
    {:ok, id} = Jobs.submit("os_pid", %{}, pool: pool, jobs: jobs)
    {:ok, _} = Jobs.result(id, jobs: jobs)
    {:ok, id} = Jobs.submit("raise_error", %{message: "no"}, pool: pool, jobs: jobs)
    {:error, _} = Jobs.result(id, jobs: jobs)

    samples = scrape(dir)["snakepit_jobs_finished"]["samples"]
    of_service = for %{"labels" => labels} = s <- samples, labels["jobs"] == "#{jobs}", do: s
    counts = Map.new(of_service, &{&1["labels"]["state"], &1["value"]})
    assert counts == %{"completed" => 1, "failed" => 1}
  end

  test "no name breaks the text, and no number of names makes it grow for ever", %{tmp_dir: dir} do
    pool = unique_name()
    odd = "a \"quoted\" \\ and\nbroken {name=\"x\"} \xFF 1"
    :ok = Metrics.Recorder.call(pool, odd, :ok, 1)
    for n <- 1..300, do: Metrics.Recorder.call(pool, "command #{n}", :ok, 1)

    samples = scrape(dir)["snakepit_calls"]["samples"]
    mine = for %{"labels" => labels} = s <- samples, labels["pool"] == "#{pool}", do: s
    commands = Map.new(mine, &{&1["labels"]["command"], &1["value"]})
    assert map_size(commands) == 201
    assert commands["(other)"] == 101
    assert commands["command 199"] == 1
    assert commands[String.replace_invalid(odd)] == 1
  end

  test "what an adapter of one's own returns as its reason is counted as other", %{tmp_dir: dir} do
    pool = unique_name()
    :ok = Metrics.Recorder.call(pool, "x", :a_reason_of_its_own, 1)
    labels = [command: "x", type: :call, result: :other]
    assert value(scrape(dir), "snakepit_calls_total", pool, labels) == 1
  end
end
