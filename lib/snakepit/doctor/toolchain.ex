defmodule Snakepit.Doctor.Toolchain do
  @moduledoc false
  # The languages that Snakepit is written in, and its native library.

  alias Snakepit.{Doctor, Error}
  alias Snakepit.GRPC.Native

  @elixir "1.18.0"
  @otp 27
  @rust "1.91.0"

  @spec elixir(String.t()) :: Doctor.result()
  def elixir(version) do
    if Version.match?(version, ">= #{@elixir}", allow_pre: true),
      do: {:ok, version},
      else: {:error, "#{version} is too old: #{@elixir} is needed", "mise use elixir@1.18-otp-27"}
  end

  @spec otp(String.t()) :: Doctor.result()
  def otp(release) do
    if String.to_integer(release) >= @otp,
      do: {:ok, release},
      else: {:error, "#{release} is too old: #{@otp} is needed", "mise use erlang@27"}
  end

  @doc """
  Is there a cargo of this name, and is it new enough?
  """
  @spec cargo(String.t()) :: Doctor.result()
  def cargo(name) do
    with path when is_binary(path) <- System.find_executable(name),
         {"cargo " <> rest, 0} <- System.cmd(path, ["--version"], stderr_to_stdout: true),
         [version | _] <- String.split(rest) do
      if Version.match?(version, ">= #{@rust}", allow_pre: true),
        do: {:ok, version},
        else: {:error, "#{version} is too old: #{@rust} is needed", "rustup update stable"}
    else
      nil ->
        {:error, "cargo is not in PATH; it builds Snakepit's native parts",
         "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"}

      {output, _status} ->
        {:error, "cargo --version failed: #{String.trim(output)}", "rustup default stable"}
    end
  end

  @spec nif() :: Doctor.result()
  def nif do
    case Native.loaded() do
      :ok ->
        {:ok, "loaded"}

      {:error, %Error{} = error} ->
        {:error, Exception.message(error), build_command()}
    end
  end

  defp build_command do
    if Mix.Project.config()[:app] == :snakepit,
      do: "mix clean && mix compile",
      else: "mix deps.compile snakepit --force"
  end
end
