defmodule Snakepit.LargeValueMemoryTest do
  # 100 MB of bytes exist once in the VM and once in the worker, and not a third time.
  use ExUnit.Case, async: false

  import Snakepit.Test.PoolHelper
  import Snakepit.Test.StreamHelper, only: [os_pid: 1]

  @moduletag skip: not match?({:unix, :linux}, :os.type())

  @size 100_000_000
  @most 2.2

  setup do
    pool = start_pool()
    {:ok, _} = Snakepit.execute("measure_bytes", %{data: <<255>>}, pool: pool)
    %{pool: pool, processes: [String.to_integer(System.pid()), os_pid(pool)]}
  end

  # How often the payload fits into what both processes grew by at their peaks.
  defp peak(processes, fun) do
    :erlang.garbage_collect()
    before = for os_pid <- processes, do: reset(os_pid)
    # What it made is gone with it.
    fun |> Task.async() |> Task.await(60_000)
    grown = for {os_pid, before} <- Enum.zip(processes, before), do: peak(os_pid) - before
    Enum.sum(grown) / @size
  end

  defp reset(os_pid) do
    # Sets the peak to what is now.
    File.write!("/proc/#{os_pid}/clear_refs", "5")
    peak(os_pid)
  end

  defp peak(os_pid) when is_integer(os_pid) do
    [_, kb] = Regex.run(~r/VmHWM:\s+(\d+) kB/, File.read!("/proc/#{os_pid}/status"))
    String.to_integer(kb) * 1024
  end

  test "an argument", %{pool: pool, processes: processes} do
    taken = fn ->
      data = :binary.copy(<<255>>, @size)

      assert {:ok, %{"size" => @size, "ends" => <<255, 255>>}} =
               Snakepit.execute("measure_bytes", %{data: data}, pool: pool)
    end

    assert peak(processes, taken) <= @most
  end

  test "a result", %{pool: pool, processes: processes} do
    given = fn ->
      assert {:ok, %{"data" => data}} =
               Snakepit.execute("give_bytes", %{size: @size}, pool: pool)

      assert byte_size(data) == @size
    end

    assert peak(processes, given) <= @most
  end

  test "several that give their memory back while they are copied arrive whole", %{pool: pool} do
    values = for size <- [8_388_607, 8_388_608, 10_000_001], do: :crypto.strong_rand_bytes(size)
    values = values ++ Enum.map(values, &binary_part(&1, 5, 8_388_600))
    digests = Enum.map(values, &:crypto.hash(:sha256, &1))

    assert {:ok, %{"digests" => ^digests}} =
             Snakepit.execute("digests_of", %{values: values}, pool: pool)
  end
end
