defmodule Snakepit.Status.UsageTest do
  # Others look at these processes too.
  use ExUnit.Case, async: false

  import Snakepit.Test.PoolHelper

  alias Snakepit.Status.Usage
  alias Snakepit.Test.{Await, StreamHelper}

  @moduletag :capture_log

  setup do
    pool = start_pool(python: [modules: ["work_handlers"]])
    %{pool: pool, os_pid: StreamHelper.os_pid(pool)}
  end

  # So much of a core, however long it takes.
  defp work(pool, ms), do: {:ok, _done} = Snakepit.execute("work", %{ms: ms}, pool: pool)

  test "memory and the share of a core of a worker", %{pool: pool, os_pid: os_pid} do
    before = System.monotonic_time(:millisecond)
    assert %{^os_pid => %{rss_bytes: rss, cpu_percent: nil}} = Usage.of([os_pid])
    assert_in_delta rss, StreamHelper.rss(os_pid), 8 * 1024 * 1024

    # More than what another look may be apart.
    work(pool, 600)
    assert %{^os_pid => %{cpu_percent: busy}} = Usage.of([os_pid])
    least = 100 * 550 / (System.monotonic_time(:millisecond) - before)
    assert busy >= least

    # Whoever looks right after sees the same.
    Await.eventually(fn -> Usage.of([os_pid]) == Usage.of([os_pid]) end)
  end

  test "a process that is gone is left out", %{os_pid: os_pid} do
    assert Map.keys(Usage.of([os_pid, 4_194_304])) == [os_pid]
  end

  test "ps tells the same where there is no /proc", %{pool: pool, os_pid: os_pid} do
    assert Usage.from_ps([]) == %{}

    assert %{^os_pid => {rss, _cpu, started}} = Usage.from_ps([os_pid, 4_194_304])
    assert_in_delta rss, StreamHelper.rss(os_pid), 8 * 1024 * 1024

    # It counts whole seconds.
    work(pool, 1_100)
    assert %{^os_pid => {_rss, cpu, ^started}} = Usage.from_ps([os_pid])
    assert cpu >= 1_000
  end
end
