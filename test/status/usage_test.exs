defmodule Snakepit.Status.UsageTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Status.Usage
  alias Snakepit.Test.{Await, StreamHelper}

  @moduletag :capture_log

  defp spin(pool, ms), do: Snakepit.execute("spin_for", %{ms: ms}, pool: pool)

  test "memory and the share of a core of a worker" do
    pool = StreamHelper.start_pool()
    os_pid = StreamHelper.os_pid(pool)

    assert %{^os_pid => %{rss_bytes: rss, cpu_percent: nil}} = Usage.of([os_pid])
    assert_in_delta rss, StreamHelper.rss(os_pid), 8 * 1024 * 1024

    # More than what another look may be apart.
    {:ok, _done} = spin(pool, 600)
    assert %{^os_pid => %{cpu_percent: busy}} = Usage.of([os_pid])
    assert busy > 10.0

    # Whoever looks right after sees the same.
    assert %{^os_pid => %{cpu_percent: ^busy}} = Usage.of([os_pid])
  end

  test "a process that is gone is left out" do
    pool = start_pool()
    os_pid = StreamHelper.os_pid(pool)
    assert Map.keys(Usage.of([os_pid, 4_194_304])) == [os_pid]
  end

  test "ps tells the same where there is no /proc" do
    pool = StreamHelper.start_pool()
    os_pid = StreamHelper.os_pid(pool)
    assert Usage.from_ps([]) == %{}

    assert %{^os_pid => {rss, _cpu, started}} = Usage.from_ps([os_pid, 4_194_304])
    assert_in_delta rss, StreamHelper.rss(os_pid), 8 * 1024 * 1024

    # It counts whole seconds.
    Await.eventually(fn ->
      {:ok, _done} = spin(pool, 300)
      %{^os_pid => {_rss, cpu, _started}} = Usage.from_ps([os_pid])
      cpu >= 1_000
    end)

    assert %{^os_pid => {_rss, _cpu, ^started}} = Usage.from_ps([os_pid])
  end
end
