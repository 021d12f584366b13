defmodule Snakepit.GuardTest do
  # The guard of the hot paths, on one of them that is quickly counted, and baselines that say
  # something else.
  use ExUnit.Case, async: true

  @moduletag :tmp_dir
  # The first run may have to compile.
  @moduletag timeout: 600_000

  if !System.find_executable("valgrind") do
    @moduletag skip: "valgrind is not in PATH, see scripts/install-valgrind"
  end

  @guard Path.expand("scripts/guard")
  @path "value/write/list of 1,000"

  setup_all do
    path = Path.join(System.tmp_dir!(), "snakepit-guard-#{System.pid()}.json")
    on_exit(fn -> File.rm(path) end)
    assert {_said, 0} = guard([@path, "--accept", "--baseline", path])
    %{accepted: File.read!(path)}
  end

  setup %{tmp_dir: dir, accepted: accepted} do
    baseline = Path.join(dir, "baseline.json")
    File.write!(baseline, accepted)
    %{baseline: baseline}
  end

  test "passes what costs as much as before", %{baseline: baseline} do
    assert {said, 0} = guard([@path, "--baseline", baseline])
    assert said =~ ~r/^#{@path} .*\(1\.000\)/m
    assert said =~ "No path costs more than it did."
  end

  test "fails on what costs more, with the path, by how much, and what to do", %{
    baseline: baseline
  } do
    for count <- ~w(instructions bytes), do: doctor(baseline, count, fn known -> known / 1.25 end)
    assert {said, 1} = guard([@path, "--baseline", baseline])
    assert said =~ ~r/^#{@path} .*\(1\.250\).* WORSE$/m
    assert said =~ "scripts/guard --accept"

    for count <- ~w(instructions bytes) do
      assert said =~
               ~r/^#{@path}: [\d.]+ #{count} for one, [\d.]+ are known \(\+25\.0%, \d% are tolerated\)/m
    end
  end

  test "fails on what is not in the baseline", %{baseline: baseline} do
    change(baseline, ["paths"], fn paths -> Map.delete(paths, @path) end)
    assert {said, 1} = guard([@path, "--baseline", baseline])
    assert said =~ "#{@path}: is not in the baseline"
  end

  test "asks to accept what costs less", %{baseline: baseline} do
    doctor(baseline, "instructions", fn known -> known * 1.25 end)
    assert {said, 0} = guard([@path, "--baseline", baseline])
    assert said =~ ~r/^#{@path} .*\(0\.800\).* better$/m
    assert said =~ "scripts/guard --accept"
  end

  test "does not judge by counts of another compiler", %{baseline: baseline} do
    doctor(baseline, "instructions", fn known -> known / 2 end)
    change(baseline, ["versions", "rustc"], fn _mine -> "1.0.0 pdp11-unknown-unix" end)
    assert {said, 0} = guard([@path, "--baseline", baseline])
    assert said =~ ~r/^#{@path} .*\(2\.000\).* \?$/m
    assert said =~ "The baseline is of rustc 1.0.0 pdp11-unknown-unix, this is "
  end

  test "a tolerance that was widened is kept", %{baseline: baseline} do
    change(baseline, ["paths", @path, "instructions"], fn [known, _share] ->
      [known / 1.25, 0.5]
    end)

    assert {_said, 0} = guard([@path, "--baseline", baseline])
    assert {_said, 0} = guard([@path, "--accept", "--baseline", baseline])
    assert %{"paths" => %{@path => %{"instructions" => [_known, 0.5]}}} = read(baseline)
  end

  defp guard(arguments), do: System.cmd(@guard, arguments, stderr_to_stdout: true)

  defp doctor(baseline, count, change) do
    change(baseline, ["paths", @path, count], fn [known, share] -> [change.(known), share] end)
  end

  defp change(baseline, keys, change) do
    File.write!(baseline, baseline |> read() |> update_in(keys, change) |> JSON.encode!())
  end

  defp read(baseline), do: baseline |> File.read!() |> JSON.decode!()
end
