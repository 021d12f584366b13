defmodule Snakepit.Progress.BarTest do
  # Bars on devices of the test's own, and what becomes of callbacks in them.
  use ExUnit.Case, async: true

  alias Snakepit.Progress

  doctest Progress

  setup do
    {:ok, device} = StringIO.open("")
    %{device: device}
  end

  defp written(device), do: device |> StringIO.contents() |> elem(1)
  defp chunk(fields \\ %{}), do: Map.put(fields, "is_final", false)
  defp final(fields \\ %{}), do: Map.put(fields, "is_final", true)

  # What stands on the lines of a terminal.
  defp screen(device) do
    for line <- device |> written() |> String.split("\n"),
        do: line |> String.split("\r\e[K") |> List.last()
  end

  test "the callback gets every chunk, and what it returns counts", %{device: device} do
    bar = Progress.bar(&{:seen, &1}, device: device)
    assert bar.(chunk(%{"n" => 1})) == {:seen, chunk(%{"n" => 1})}
    assert bar.(final()) == {:seen, final()}
    assert Progress.bar(device: device).(final()) == :ok
  end

  test "after :halt nothing is left of it", %{device: device} do
    bar = Progress.bar(fn _chunk -> :halt end, total: 4, style: :bar, device: device)
    before = Process.get()
    assert bar.(chunk()) == :halt
    assert [line, ""] = screen(device)
    assert line =~ ~r/^ 25%  .*  1\/4  0:00  stopped$/
    assert Process.get() == before
  end

  test "the bar is complete before the callback prints the result", %{device: device} do
    callback = fn
      %{"is_final" => true} -> IO.puts(device, "the result")
      _chunk -> :ok
    end

    bar = Progress.bar(callback, style: :bar, device: device)
    bar.(chunk(%{"progress" => 50}))
    bar.(final())
    assert ["100%  " <> _bar, "the result", ""] = screen(device)
  end

  test "a bar is used again, and has not counted before", %{device: device} do
    bar = Progress.bar(total: 2, device: device)
    for _ <- 1..2, do: Enum.each([chunk(), chunk(), final()], bar)
    assert written(device) == "100%  2/2  0:00\n100%  2/2  0:00\n"
  end

  test "each process has its own count of the same bar", %{device: device} do
    bar = Progress.bar(total: 3, device: device)
    bar.(chunk())

    [chunk(), chunk(), final()]
    |> then(&Task.async(fn -> Enum.each(&1, bar) end))
    |> Task.await()

    bar.(final())
    assert written(device) == "66%  2/3  0:00\n33%  1/3  0:00\n"
  end

  test "of bars in two processes one has the line, and the line is free with its process",
       context do
    %{device: device} = context
    options = [total: 2, style: :bar, device: device]
    test = self()

    owner =
      spawn(fn ->
        Progress.bar([label: "owner"] ++ options).(chunk())
        send(test, :drawn)
        Process.sleep(:infinity)
      end)

    assert_receive :drawn
    Enum.each([chunk(), final()], Progress.bar([label: "other"] ++ options))

    assert ["owner   50% " <> _bar] =
             Enum.take(String.split(written(device), "other"), 1) |> strip()

    assert written(device) =~ "other  50%  1/2  0:00\n"

    monitor = Process.monitor(owner)
    Process.exit(owner, :kill)
    assert_receive {:DOWN, ^monitor, :process, _pid, :killed}
    Progress.bar([label: "third"] ++ options).(chunk())
    assert List.last(screen(device)) =~ ~r/^third   50%  │█+ +│  1\/2/u
  end

  defp strip(texts), do: Enum.map(texts, &String.replace(&1, "\r\e[K", ""))

  test "of bars in one process the newest has the line", %{device: device} do
    options = [total: 2, style: :bar, device: device]
    outer = Progress.bar([label: "outer"] ++ options)
    inner = Progress.bar([label: "inner"] ++ options)
    outer.(chunk())
    inner.(chunk())
    inner.(final())
    outer.(final(%{"n" => 1}))

    assert ["outer   50%  │" <> _, "inner   50%  │" <> _, "outer  100%  2/2" <> _, ""] =
             screen(device)
  end

  test "many streams that are left in the middle are not all kept", %{device: device} do
    chunk = chunk()
    for _ <- 1..100, do: Progress.bar(device: device).(chunk)
    {:dictionary, dictionary} = Process.info(self(), :dictionary)
    assert length(List.keyfind(dictionary, {Progress, :bars}, 0) |> elem(1)) <= 32
  end

  test "a device that is gone harms nobody", %{device: device} do
    bar = Progress.bar(& &1["n"], style: :bar, device: device)
    assert bar.(chunk(%{"n" => 1})) == 1
    StringIO.close(device)
    assert bar.(final(%{"n" => 2})) == 2
    assert Progress.bar(& &1["n"], device: device).(final(%{"n" => 3})) == 3
  end

  @tag :tmp_dir
  test "a file whose encoding is not Unicode gets what it can", %{tmp_dir: directory} do
    path = Path.join(directory, "log")
    {:ok, device} = File.open(path, [:write])
    Progress.bar(label: "naïve", device: device).(final(%{"error" => "価値"}))
    File.close(device)
    assert File.read!(path) == "na?ve  0 chunks  0:00  ??\n"
  end

  test "a line is put above the bar, and only a terminal is cleared for it", %{device: device} do
    Progress.puts(["a ", "line"], device)
    Progress.puts(:another, device)
    assert written(device) == "a line\nanother\n"
  end

  test "the bar goes on below the line", %{device: device} do
    bar = Progress.bar(total: 4, style: :bar, device: device)
    bar.(chunk())
    Progress.puts("a line", device)
    assert List.last(screen(device)) =~ ~r"^ 25%  │.*│  1/4  0:00$"u
    bar.(final())
    assert " 25%" <> _bar = List.last(screen(device) -- [""])
  end

  test "what is wrong is said at once" do
    assert_raise ArgumentError, ~r/unknown option :lable, did you mean :label\?/, fn ->
      Progress.bar(lable: "train")
    end

    assert_raise ArgumentError, ~r/option :value expected a string .* or a function of one/, fn ->
      Progress.bar(value: fn -> 1 end)
    end

    for callback <- [fn -> :ok end, fn _, _ -> :ok end, :callback] do
      assert_raise ArgumentError, ~r/function of one argument/, fn ->
        Progress.bar(callback, [])
      end
    end
  end
end
