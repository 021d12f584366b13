defmodule Snakepit.Progress.StreamTest do
  # Bars around the callbacks of calls and jobs.
  use ExUnit.Case, async: true

  import Snakepit.Test.JobsHelper, only: [start_jobs: 0, start_pool: 0, submit!: 3]

  alias Snakepit.{Jobs, Progress}
  alias Snakepit.Test.{Beacon, StreamHelper}

  setup_all do
    %{pool: StreamHelper.start_pool()}
  end

  setup do
    {:ok, device} = StringIO.open("")
    %{device: device}
  end

  defp lines(device) do
    for line <- device |> StringIO.contents() |> elem(1) |> String.split("\n"),
        do: line |> String.split("\r\e[K") |> List.last()
  end

  defp bar(context, options, callback \\ fn _chunk -> :ok end),
    do: Progress.bar(callback, [style: :bar, device: context.device] ++ options)

  test "a stream to its end", %{pool: pool} = context do
    bar = bar(context, total: 5, unit: "numbers")
    assert :ok = Snakepit.execute_stream("numbers", %{n: 5}, bar, pool: pool)
    assert ["100%  " <> rest, ""] = lines(context.device)
    assert rest =~ "  5/5 numbers  0:00"
  end

  test "an error of Python, after what was done", %{pool: pool} = context do
    bar = bar(context, total: 5)
    assert {:error, _} = Snakepit.execute_stream("numbers_fail", %{n: 3}, bar, pool: pool)
    assert [line, ""] = lines(context.device)
    assert line =~ ~r"^ 60%  .*  3/5  0:00  .*no more than 3"
  end

  test "a timeout, of which no chunk tells", %{pool: pool} = context do
    bar = bar(context, total: 100)
    args = %{n: 100, interval: 50}

    assert {:error, :worker_timeout} =
             Snakepit.execute_stream("paced", args, bar, pool: pool, timeout: 500)

    assert [line, ""] = lines(context.device)
    assert line =~ ~r"  \d+/100  0:00  The call did not finish before"
  end

  test "a callback that raises", %{pool: pool} = context do
    bar = bar(context, [total: 5], fn chunk -> if chunk["n"] == 2, do: raise("enough") end)

    assert_raise RuntimeError, "enough", fn ->
      Snakepit.execute_stream("numbers", %{n: 5}, bar, pool: pool)
    end

    assert [line, ""] = lines(context.device)
    assert line =~ ~r"^ 40%  .*  2/5  0:00  stopped$"
    refute List.keymember?(Process.get() |> Enum.to_list(), {Progress, :bars}, 0)
  end

  test "a callback that says :halt", %{pool: pool} = context do
    bar = bar(context, [total: 5], fn chunk -> if chunk["n"] == 2, do: :halt end)
    assert :ok = Snakepit.execute_stream("numbers", %{n: 5}, bar, pool: pool)
    assert [line, ""] = lines(context.device)
    assert line =~ ~r"^ 60%  .*  3/5  0:00  stopped$"
  end

  test "a stream in a callback with a bar ends only its own", %{pool: pool} = context do
    inner = bar(context, total: 2, label: "inner")

    outer =
      bar(context, [total: 2, label: "outer"], fn _chunk ->
        Snakepit.execute_stream("numbers", %{n: 2}, inner, pool: pool)
      end)

    assert :ok = Snakepit.execute_stream("numbers", %{n: 2}, outer, pool: pool)
    lines = Enum.join(lines(context.device), "\n")
    assert length(Regex.scan(~r"^inner  100%"m, lines)) == 3
    assert [_] = Regex.scan(~r"^outer  100% "m, lines)
    refute lines =~ "stopped"
  end

  test "both directions", %{pool: pool} = context do
    bar = bar(context, total: 4)
    chunks = for n <- 1..4, do: %{n: n}
    assert :ok = Snakepit.execute_bidi_stream("doubled", %{}, chunks, bar, pool: pool)
    assert ["100%  " <> _rest, ""] = lines(context.device)
  end

  test "a job that reports its steps", context do
    {pool, jobs} = {start_pool(), start_jobs()}
    beacon = Beacon.open()
    args = %{n: 4, beacon: beacon.port}
    id = submit!(%{pool: pool, jobs: jobs}, "steps", args)

    bar =
      bar(context, [label: "steps"], fn update ->
        if update["progress"] == 1.0 and update["state"] == "running",
          do: Beacon.release(beacon, Beacon.await(beacon, "reported"))
      end)

    assert :ok = Jobs.watch(id, bar, jobs: jobs)
    assert {:ok, %{"steps" => 4}} = Jobs.result(id, jobs: jobs)
    assert ["steps  100%  │" <> rest, ""] = lines(context.device)
    assert rest =~ ~r"│  0:00$"
  end

  test "a job that fails", context do
    {pool, jobs} = {start_pool(), start_jobs()}
    id = submit!(%{pool: pool, jobs: jobs}, "rows_then_error", %{n: 3})
    assert :ok = Jobs.watch(id, bar(context, []), jobs: jobs)
    assert [line, ""] = lines(context.device)
    assert line =~ "rows_then_error"
    assert line =~ "raised"
  end
end
