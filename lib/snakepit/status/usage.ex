defmodule Snakepit.Status.Usage do
  @moduledoc false
  # What operating system processes take: resident memory, and the share of one core since they were
  # last asked for. Linux tells it in /proc, other systems by ps.

  # A second pair of eyes must not make the time between two samples meaningless.
  @shortest 500
  @forget_after 60_000

  # The unit of /proc for all programs, whatever the kernel's own is.
  @ticks_per_second 100

  @type t :: %{rss_bytes: non_neg_integer(), cpu_percent: float() | nil}
  @typep sample ::
           {rss :: non_neg_integer(), cpu_ms :: non_neg_integer(), process :: String.t()}

  @doc """
  Makes the table of the last samples. It belongs to the calling process.
  """
  @spec new() :: :ok
  def new do
    :ets.new(__MODULE__, [:named_table, :public])
    :ok
  end

  @doc """
  What the processes take that are there. `cpu_percent` is `nil` when it is asked for the first time.
  """
  @spec of([pos_integer()]) :: %{pos_integer() => t()}
  def of(os_pids) do
    samples = samples(os_pids)
    now = System.monotonic_time(:millisecond)

    for {os_pid, {rss, _cpu, _process} = sample} <- samples, into: %{} do
      {os_pid, %{rss_bytes: rss, cpu_percent: percent(os_pid, sample, now)}}
    end
  end

  @doc """
  What the processes have taken so far: resident bytes, and milliseconds of processor time.
  """
  @spec total([pos_integer()]) ::
          %{pos_integer() => {rss_bytes :: non_neg_integer(), cpu_ms :: non_neg_integer()}}
  def total(os_pids),
    do:
      for({os_pid, {rss, cpu, _process}} <- samples(os_pids), into: %{}, do: {os_pid, {rss, cpu}})

  defp samples(os_pids),
    do: if(File.dir?("/proc/self"), do: from_proc(os_pids), else: from_ps(os_pids))

  defp percent(os_pid, {_rss, cpu, process}, now) do
    :ets.select_delete(__MODULE__, [
      {{:_, :_, :_, :"$1", :_}, [{:<, :"$1", now - @forget_after}], [true]}
    ])

    case :ets.lookup(__MODULE__, os_pid) do
      [{_os_pid, ^process, _cpu, at, percent}] when now - at < @shortest ->
        percent

      [{_os_pid, ^process, before, at, _percent}] ->
        keep(os_pid, process, cpu, now, Float.round(100 * (cpu - before) / (now - at), 1))

      # The number may have been another process's before.
      _none ->
        keep(os_pid, process, cpu, now, nil)
    end
  rescue
    # Without the application nobody keeps them.
    ArgumentError -> nil
  end

  defp keep(os_pid, process, cpu, now, percent) do
    :ets.insert(__MODULE__, {os_pid, process, cpu, now, percent})
    percent
  end

  @spec from_proc([pos_integer()]) :: %{pos_integer() => sample()}
  defp from_proc(os_pids) do
    for os_pid <- os_pids,
        {:ok, stat} <- [File.read("/proc/#{os_pid}/stat")],
        {:ok, status} <- [File.read("/proc/#{os_pid}/status")],
        [_all, kib] <- [Regex.run(~r/^VmRSS:\s+(\d+)/m, status)],
        into: %{} do
      # The name of the program is in parentheses, and may have any characters.
      fields = stat |> String.split(")") |> List.last() |> String.split()
      [user, system] = fields |> Enum.slice(11, 2) |> Enum.map(&String.to_integer/1)
      cpu = div((user + system) * 1000, @ticks_per_second)
      {os_pid, {String.to_integer(kib) * 1024, cpu, Enum.at(fields, 19)}}
    end
  end

  @doc false
  @spec from_ps([pos_integer()]) :: %{pos_integer() => sample()}
  def from_ps([]), do: %{}

  def from_ps(os_pids) do
    columns = ~w(-o pid= -o rss= -o time= -o lstart=)
    {text, _status} = System.cmd("ps", columns ++ ["-p", Enum.join(os_pids, ",")])

    for line <- String.split(text, "\n", trim: true),
        [os_pid, kib, time | started] = String.split(line),
        into: %{} do
      rss = String.to_integer(kib) * 1024
      {String.to_integer(os_pid), {rss, milliseconds(time), Enum.join(started, " ")}}
    end
  rescue
    # There is no ps.
    ErlangError -> %{}
  end

  # [[days-]hours:]minutes:seconds[.hundredths]
  defp milliseconds(time) do
    {days, time} =
      case String.split(time, "-") do
        [days, time] -> {String.to_integer(days), time}
        [time] -> {0, time}
      end

    minutes_and_seconds =
      time
      |> String.split(":")
      |> Enum.reduce(0, fn part, sum -> sum * 60 + elem(Float.parse(part), 0) end)

    round((days * 86_400 + minutes_and_seconds) * 1000)
  end
end
