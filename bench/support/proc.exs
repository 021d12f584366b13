defmodule Bench.Proc do
  @moduledoc false
  # What Linux tells of a process under /proc.

  @type os_pid :: pos_integer() | String.t()

  @doc """
  Is there such a thing? Not on macOS.
  """
  @spec available?() :: boolean()
  def available?, do: File.exists?("/proc/self/clear_refs")

  @doc """
  Resident memory in bytes.
  """
  @spec resident(os_pid()) :: non_neg_integer()
  def resident(os_pid), do: status(os_pid, "VmRSS") * 1024

  @doc """
  The most it has been since `forget_peak/1`.
  """
  @spec peak(os_pid()) :: non_neg_integer()
  def peak(os_pid), do: status(os_pid, "VmHWM") * 1024

  @spec forget_peak(os_pid()) :: :ok
  def forget_peak(os_pid), do: File.write!("/proc/#{os_pid}/clear_refs", "5")

  @doc """
  Processor time in ticks of 10 ms, user and system together.
  """
  @spec ticks(os_pid()) :: non_neg_integer()
  def ticks(os_pid) do
    # The name of the program, in parentheses, may have spaces.
    fields = "/proc/#{os_pid}/stat" |> File.read!() |> String.split(") ") |> List.last()
    [user, system] = fields |> String.split() |> Enum.slice(11, 2)
    String.to_integer(user) + String.to_integer(system)
  end

  @doc """
  How often its threads have waited.
  """
  @spec waits(os_pid()) :: non_neg_integer()
  def waits(os_pid) do
    Enum.sum_by(tasks(os_pid), &status("#{os_pid}/task/#{&1}", "voluntary_ctxt_switches"))
  end

  @doc """
  Processor time of its threads in microseconds, exactly.
  """
  @spec processor_us(os_pid()) :: float()
  def processor_us(os_pid) do
    Enum.sum_by(tasks(os_pid), fn task ->
      [nanoseconds | _] =
        "/proc/#{os_pid}/task/#{task}/schedstat" |> File.read!() |> String.split()

      String.to_integer(nanoseconds) / 1_000
    end)
  end

  @doc """
  Ticks that the processors of the machine were busy, and all ticks.
  """
  @spec machine() :: {non_neg_integer(), non_neg_integer()}
  def machine do
    ["cpu  " <> fields | _] = "/proc/stat" |> File.read!() |> String.split("\n")
    # The last two are parts of the first two.
    ticks = fields |> String.split() |> Enum.take(8) |> Enum.map(&String.to_integer/1)
    [_user, _nice, _system, idle, waiting_for_disks | _] = ticks
    all = Enum.sum(ticks)
    {all - idle - waiting_for_disks, all}
  end

  defp tasks(os_pid), do: File.ls!("/proc/#{os_pid}/task")

  defp status(path, field) do
    text = File.read!("/proc/#{path}/status")
    [_line, value] = Regex.run(~r/^#{field}:\s*(\d+)/m, text)
    String.to_integer(value)
  end
end
