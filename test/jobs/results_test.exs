defmodule Snakepit.Jobs.ResultsTest do
  use ExUnit.Case, async: false

  import Snakepit.Test.Await, only: [eventually: 1]
  import Snakepit.Test.JobsHelper
  import Snakepit.Test.StreamMemory, only: [grown: 2]

  alias Snakepit.{Error, Jobs}
  alias Snakepit.Test.Beacon

  @moduletag :capture_log

  @largest 4_294_967_295

  setup_all do
    pool = start_pool(pool_size: 2)
    jobs = :results_test_jobs
    start_supervised!({Jobs, name: jobs})
    context = %{pool: pool, jobs: jobs}
    n = 95_338
    id = submit!(context, "table", %{n: n})
    assert {:ok, %{"rows" => rows, "of" => ^n}} = Jobs.result(id, jobs: jobs)
    Map.merge(context, %{id: id, rows: rows, n: n})
  end

  defp chunks(id, jobs, opts \\ []),
    do: id |> Jobs.stream_results(:stream, [jobs: jobs] ++ opts) |> Enum.to_list()

  defp rows(chunks), do: Enum.flat_map(chunks, & &1["rows"])

  describe "the same rows in the same order" do
    for size <- [1, 100, 1_000, 10_000, @largest] do
      test "in chunks of #{size}", %{id: id, jobs: jobs, rows: rows, n: n} do
        size = unquote(size)
        chunks = chunks(id, jobs, chunk_size: size, max_chunk_bytes: 1_000_000_000)
        total = div(n + size - 1, size)
        assert length(chunks) == total
        assert rows(chunks) == rows
        assert Enum.map(chunks, & &1["chunk_index"]) == Enum.to_list(0..(total - 1))
        assert Enum.all?(chunks, &(&1["total_chunks"] == total))
        assert {[true], others} = chunks |> Enum.map(& &1["is_final"]) |> Enum.split_with(& &1)
        assert length(others) == total - 1
        assert List.last(chunks)["is_final"]
      end
    end

    test "0 and nil mean the default", %{id: id, jobs: jobs} do
      default = chunks(id, jobs)
      assert length(hd(default)["rows"]) == 1_000
      assert chunks(id, jobs, chunk_size: 0) == default
      assert chunks(id, jobs, chunk_size: nil) == default
    end

    test "a callback gets them too, and may halt", %{id: id, jobs: jobs} do
      test = self()

      assert Jobs.stream_results(id, &send(test, {:chunk, &1["chunk_index"]}),
               jobs: jobs,
               chunk_size: 50_000,
               max_chunk_bytes: 1_000_000_000
             ) == :ok

      assert_received {:chunk, 0}
      assert_received {:chunk, 1}
      refute_received {:chunk, _more}
      assert Jobs.stream_results(id, fn _ -> :halt end, jobs: jobs) == :ok
    end
  end

  test "wrong sizes are refused", %{id: id, jobs: jobs} do
    for size <- [-1, 1.5, "1000", @largest + 1] do
      assert_raise ArgumentError, ~r/:chunk_size/, fn ->
        Jobs.stream_results(id, fn _ -> :ok end, jobs: jobs, chunk_size: size)
      end
    end
  end

  test "bytes cap a chunk, whatever the number of rows", %{id: id, jobs: jobs, rows: rows} do
    cap = 100_000
    chunks = chunks(id, jobs, chunk_size: @largest, max_chunk_bytes: cap)
    assert rows(chunks) == rows
    assert Enum.all?(chunks, &(size_of(&1["rows"]) <= cap))
    assert Enum.all?(chunks, &(&1["total_chunks"] == length(chunks)))

    # A row is never split.
    one = chunks(id, jobs, chunk_size: @largest, max_chunk_bytes: 1)
    assert length(one) == length(rows)
  end

  defp size_of(rows), do: Enum.sum_by(rows, &:erlang.external_size/1)

  test "a thousand rows are there in a moment", %{id: id, jobs: jobs} do
    chunks = Jobs.stream_results(id, :stream, jobs: jobs, chunk_size: 1_000)
    times = for _ <- 1..20, do: chunks |> Enum.take(1) |> then(fn [_] -> :ok end) |> timed(chunks)
    assert times |> Enum.sort() |> Enum.at(10) < 60
  end

  defp timed(:ok, chunks) do
    {micros, _chunk} = :timer.tc(fn -> Enum.take(chunks, 1) end)
    div(micros, 1_000)
  end

  test "cut after any chunk and resumed, it is the same", %{id: id, jobs: jobs} do
    opts = [chunk_size: 20_000]
    whole = chunks(id, jobs, opts)

    for cut <- 1..length(whole) do
      first = id |> Jobs.stream_results(:stream, [jobs: jobs] ++ opts) |> Enum.take(cut)
      cursor = List.last(first)["cursor"]
      assert first ++ chunks(id, jobs, [cursor: cursor] ++ opts) == whole
    end

    last = List.last(whole)["cursor"]
    refuse = fn _chunk -> flunk("a chunk after the last") end
    assert Jobs.stream_results(id, refuse, [jobs: jobs, cursor: last] ++ opts) == :ok
  end

  test "what there is besides the rows is not copied for every chunk", %{jobs: jobs} = context do
    id = submit!(context, "table_and_more", %{n: 2_000, more: 1_000_000})
    assert {:ok, %{"more" => [_ | _]}} = Jobs.result(id, jobs: jobs)
    stream = Jobs.stream_results(id, :stream, jobs: jobs, chunk_size: 1)
    {micros, 2_000} = :timer.tc(fn -> Enum.count(stream) end)
    assert micros < 2_000_000
  end

  test "a cursor of nobody's is refused", %{id: id, jobs: jobs} do
    other = Base.url_encode64("job_x:1:1", padding: false)

    for cursor <- ["nonsense", other, Base.url_encode64("#{id}:-1:0", padding: false)] do
      assert {:error, %Error{kind: :invalid_arguments, message: message}} =
               Jobs.stream_results(id, fn _ -> :ok end, jobs: jobs, cursor: cursor)

      assert message =~ "no cursor of job"
    end
  end

  test "counts are chunks of a map, in order", %{jobs: jobs} = context do
    id = submit!(context, "histogram", %{n: 25})
    assert {:ok, %{"counts" => counts, "shots" => 25}} = Jobs.result(id, jobs: jobs)
    assert map_size(counts) == 25
    chunks = chunks(id, jobs, chunk_size: 10)
    assert [10, 10, 5] = for(%{"counts" => part} <- chunks, do: map_size(part))
    assert Enum.reduce(chunks, %{}, &Map.merge(&2, &1["counts"])) == counts
    assert %{"00000" => 0} = hd(chunks)["counts"]
  end

  test "a stream's chunks are its rows, the final one as well if it has something",
       %{jobs: jobs} = context do
    id = submit!(context, "rows", %{n: 5, width: 1})
    expected = for(i <- 0..4, do: %{"n" => i, "text" => "x"}) ++ [%{"n" => 5, "text" => "last"}]
    assert Jobs.result(id, jobs: jobs) == {:ok, %{"rows" => expected}}
    assert rows(chunks(id, jobs)) == expected

    id = submit!(context, "steps_stream", %{n: 2}, stream: true)
    assert rows(chunks(id, jobs)) == [%{"step" => 1}, %{"step" => 2}]
  end

  test "a result without rows is one empty chunk", %{jobs: jobs} = context do
    id = submit!(context, "nap", %{ms: 1})
    assert [%{"rows" => [], "total_chunks" => 1, "is_final" => true}] = chunks(id, jobs)
    id = submit!(context, "table", %{n: 0})
    assert [%{"rows" => [], "total_chunks" => 1, "is_final" => true}] = chunks(id, jobs)
  end

  test "rows can be read while the job makes them", %{jobs: jobs} = context do
    beacon = Beacon.open()
    id = submit!(context, "rows", %{n: 2_500, hold_at: 1_200, beacon: beacon.port})
    test = self()

    reader =
      Task.async(fn ->
        Jobs.stream_results(id, &send(test, {:chunk, &1}), jobs: jobs, chunk_size: 500)
      end)

    handler = Beacon.await(beacon, "half")
    assert_receive {:chunk, %{"chunk_index" => 0, "total_chunks" => nil, "is_final" => false}}
    assert_receive {:chunk, %{"chunk_index" => 1, "cursor" => cursor, "rows" => rows}}
    assert List.last(rows)["n"] == 999
    refute_received {:chunk, _more}

    # Those there are now, without waiting for more.
    await_rows(id, jobs, 1_200)

    assert [200] =
             for(
               chunk <- chunks(id, jobs, follow: false, cursor: cursor),
               do: length(chunk["rows"])
             )

    Beacon.release(beacon, handler)
    assert Task.await(reader) == :ok
    assert_received {:chunk, %{"chunk_index" => 5, "total_chunks" => 6, "is_final" => true}}
    assert length(rows(chunks(id, jobs))) == 2_501
  end

  defp await_rows(id, jobs, rows) do
    eventually(fn ->
      {:ok, status} = Jobs.status(id, jobs: jobs)
      status["rows"] >= rows
    end)
  end

  test "a chunk that is full by its bytes is not held back", %{jobs: jobs} = context do
    beacon = Beacon.open()
    args = %{n: 10, width: 1_000, hold_at: 5, beacon: beacon.port}
    id = submit!(context, "rows", args)
    handler = Beacon.await(beacon, "half")

    assert [chunk] =
             id
             |> Jobs.stream_results(:stream, jobs: jobs, max_chunk_bytes: 3_500)
             |> Enum.take(1)

    assert length(chunk["rows"]) == 3
    Beacon.release(beacon, handler)
    assert {:ok, _rows} = Jobs.result(id, jobs: jobs)
  end

  test "a final chunk may have an error of its own", %{jobs: jobs} = context do
    id = submit!(context, "final_error_key")

    assert Jobs.result(id, jobs: jobs) ==
             {:ok, %{"rows" => [%{"n" => 0}, %{"error" => "only a word"}]}}
  end

  test "rows of a job that failed are followed by the reason", %{jobs: jobs} = context do
    id = submit!(context, "rows_then_error", %{n: 7})
    test = self()

    assert {:error, %Error{kind: :python, message: "no more rows"}} =
             Jobs.stream_results(id, &send(test, {:chunk, &1}), jobs: jobs, chunk_size: 5)

    assert_received {:chunk, %{"rows" => [_, _, _, _, _]}}
    assert_received {:chunk, %{"rows" => [_, _], "is_final" => false}}
  end

  test "a slow reader of a large result costs no more memory", %{jobs: jobs} do
    pool = start_pool()
    context = %{pool: pool, jobs: jobs}
    # 100 MB in rows of 10 kB.
    id = submit!(context, "rows", %{n: 10_000, width: 10_000})
    await_state(id, jobs, "completed")

    {taken, growth} =
      grown(pool, fn ->
        id
        |> Jobs.stream_results(:stream, jobs: jobs, chunk_size: 100)
        |> Enum.reduce(0, fn chunk, taken ->
          receive do
          after
            5 -> taken + length(chunk["rows"])
          end
        end)
      end)

    assert taken == 10_001
    assert growth.vm < 16 * 1_048_576
    Jobs.delete(id, jobs: jobs)
  end

  # Numbers take more room in the VM than in a chunk's count of bytes.
  test "nor does one of a large result of numbers, in the largest chunks", %{jobs: jobs} do
    pool = start_pool()
    # 100 MB as well.
    id = submit!(%{pool: pool, jobs: jobs}, "number_rows", %{n: 10_000, width: 1_100})
    await_state(id, jobs, "completed")

    read = fn ->
      id
      |> Jobs.stream_results(:stream, jobs: jobs, chunk_size: @largest)
      |> Enum.reduce(0, fn chunk, taken ->
        receive do
        after
          20 -> taken + length(chunk["rows"])
        end
      end)
    end

    assert {10_000, growth} = grown(pool, fn -> Task.await(Task.async(read), 60_000) end)
    assert growth.vm < 16 * 1_048_576
    Jobs.delete(id, jobs: jobs)
  end
end
