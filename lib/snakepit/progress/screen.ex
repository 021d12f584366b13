defmodule Snakepit.Progress.Screen do
  @moduledoc false
  # Where a bar is drawn: the line of a terminal, which one bar at a time has, or plain lines. What
  # cannot be written harms nobody's work.

  alias Snakepit.Progress.Line

  @enforce_keys [:device, :style, :terminal, :unicode]
  defstruct [:device, :style, :terminal, :unicode]

  @type t :: %__MODULE__{
          device: IO.device(),
          style: :bar | :lines,
          terminal: boolean(),
          unicode: boolean()
        }

  # Knows which process has the line of which terminal, until it ends.
  @owners Snakepit.Progress.Owners

  # To the first column, and away with what is there.
  @clear "\r\e[K"

  # Where a terminal does not tell.
  @columns 80

  @spec child_spec(term()) :: Supervisor.child_spec()
  def child_spec(_options), do: Registry.child_spec(keys: :unique, name: @owners)

  @spec open(reference(), map()) :: t()
  def open(ref, %{device: device, style: wanted}) do
    device = device(device)
    options = options(device)
    terminal = terminal?(device, options)
    drawn = wanted == :bar or (wanted == :auto and terminal and drawable?())

    %__MODULE__{
      device: device,
      style: if(drawn and own?(device, ref), do: :bar, else: :lines),
      terminal: terminal,
      unicode: options[:encoding] in [:unicode, :utf8]
    }
  end

  @doc """
  Shows what `render` makes of a format.
  """
  @spec draw(t(), (Line.format() -> String.t())) :: :ok
  def draw(%{style: :bar} = screen, render), do: put(screen, [@clear, render.(format(screen))])

  # The bar of another process may stand there.
  def draw(%{terminal: true} = screen, render),
    do: put(screen, [@clear, render.(format(screen)), "\n"])

  def draw(screen, render), do: put(screen, [render.(format(screen)), "\n"])

  @doc """
  Shows the last of it, which stays.
  """
  @spec close(reference(), t(), (Line.format() -> String.t())) :: :ok
  def close(_ref, %{style: :lines} = screen, render), do: draw(screen, render)

  def close(ref, screen, render) do
    put(screen, [@clear, render.(format(screen)), "\n"])
    disown(screen.device, ref)
  end

  @doc """
  The screen of a bar on whose line another one of the process is drawn from now on.
  """
  @spec give_up(t(), t()) :: t()
  def give_up(%{style: :bar, device: device} = screen, %{device: device}) do
    put(screen, "\n")
    %{screen | style: :lines}
  end

  def give_up(screen, _newer), do: screen

  @doc """
  What makes room for a line where a bar may stand.
  """
  @spec erase(IO.device()) :: String.t()
  def erase(device) do
    device = device(device)
    if terminal?(device, options(device)) and drawable?(), do: @clear, else: ""
  end

  @doc """
  Whether a bar is drawn on the device.
  """
  @spec bar_on?(t(), IO.device()) :: boolean()
  def bar_on?(%{style: style, device: device}, asked),
    do: style == :bar and device == device(asked)

  defp format(%{device: device, style: style, unicode: unicode}) do
    columns =
      case {style, columns(device)} do
        {:lines, _any} -> :infinity
        {:bar, {:ok, columns}} -> columns
        {:bar, {:error, _unknown}} -> @columns
      end

    %{style: style, columns: columns, unicode: unicode}
  end

  defp put(%{device: device}, text) do
    IO.write(device, text)
    :ok
  rescue
    # The device is gone or full.
    _error -> :ok
  end

  defp device(:stdio), do: Process.group_leader()
  defp device(:stderr), do: :standard_error
  defp device(device), do: device

  # Standard output can be a file while there is a terminal.
  defp terminal?(device, options) do
    options[:stdout] != false and
      (options[:terminal] == true or match?({:ok, _}, columns(device)))
  end

  defp drawable?, do: System.get_env("TERM", "dumb") != "dumb" and not ci?()
  defp ci?, do: System.get_env("CI", "") not in ["", "0", "false"]

  defp options(device) do
    case :io.getopts(device) do
      options when is_list(options) -> options
      {:error, _reason} -> []
    end
  rescue
    _error -> []
  end

  defp columns(device) do
    :io.columns(device)
  rescue
    _error -> {:error, :enotsup}
  end

  defp own?(device, ref) do
    # A bar of this process is in nobody's way.
    Registry.unregister(@owners, device)
    match?({:ok, _registry}, Registry.register(@owners, device, ref))
  rescue
    # Without the application nobody knows of the others.
    ArgumentError -> true
  end

  # Another bar of this process may own the line meanwhile.
  defp disown(device, ref) do
    Registry.unregister_match(@owners, device, ref)
  rescue
    ArgumentError -> :ok
  end
end
