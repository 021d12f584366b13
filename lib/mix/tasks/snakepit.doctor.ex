defmodule Mix.Tasks.Snakepit.Doctor do
  @shortdoc "Checks that everything is there that Snakepit needs"

  @moduledoc """
  Checks that everything is there that Snakepit needs, and says how to mend what is not.

      $ mix snakepit.doctor

  It looks at the versions of Elixir, Erlang/OTP, Rust and Python, at the NIF, at the virtual
  environment and the package in it, at the directory for sockets or the ports, and at the limits of
  the system; and at last it starts a worker and calls it. The pools are those of the
  application environment; those of your own supervision tree are started without it.

  The exit status is 0 if all is well, and 1 otherwise.
  """

  use Mix.Task

  alias Snakepit.{Config, Doctor}

  @impl true
  def run(args) do
    if args != [], do: Mix.raise("mix snakepit.doctor takes no arguments, got: #{inspect(args)}")
    Mix.Task.run("app.config")
    # What a worker says is in the result; here it would be said twice.
    Logger.configure(level: :none)

    failed = pools() |> Enum.map(&report/1) |> Enum.count(&(&1 == :failed))

    if failed > 0 do
      Mix.shell().error(
        "\n#{failed} #{if failed == 1, do: "thing is", else: "things are"} amiss."
      )

      exit({:shutdown, 1})
    end

    Mix.shell().info("\nAll is well.")
  end

  defp pools do
    Doctor.checks(Config.pools_from_env())
  rescue
    error in ArgumentError ->
      mend = "correct it in config/"
      [{"Configuration", fn -> {:error, Exception.message(error), mend} end} | Doctor.checks([])]
  end

  defp report({name, check}) do
    case check.() do
      {:ok, found} ->
        Mix.shell().info([:green, "ok    ", :reset, "#{name}: #{found}"])
        :ok

      {:error, problem, mend} ->
        Mix.shell().info([:red, "FAIL  ", :reset, "#{name}: #{indented(problem)}"])
        Mix.shell().info("      mend: #{mend}")
        :failed
    end
  end

  defp indented(text), do: String.replace(text, "\n", "\n      ")
end
