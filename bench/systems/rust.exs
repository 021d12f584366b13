defmodule Bench.Rust do
  @moduledoc false
  # The Rust programs under native/client/examples: a bare tonic client for the worker of our pool, and
  # what the machine itself moves.

  @target_dir "_build/native"
  @programs [:bare, :floors]

  @type programs :: %{atom() => Path.t()}

  @doc """
  Builds the programs and returns where they are.
  """
  @spec build!() :: programs()
  def build! do
    root = File.cwd!()
    target = Path.join(root, @target_dir)
    examples = Enum.flat_map(@programs, &["--example", to_string(&1)])

    args =
      ~w(build --release --locked --quiet -p snakepit_client --target-dir) ++ [target | examples]

    {_output, 0} = System.cmd("cargo", args, cd: Path.join(root, "native"), into: IO.stream())
    Map.new(@programs, &{&1, Path.join([target, "release/examples", to_string(&1)])})
  end

  @doc """
  Answers what is asked of a worker, by `:unary`, `:stream` or `:first`, each call an RPC, or by
  `:lane`.
  """
  @spec client(programs(), String.t(), atom(), map(), pos_integer()) :: map()
  def client(%{bare: program}, address, mode, ask, count),
    do: run(program, [address, mode, count, ask.size, ask.callers])

  @doc """
  Moves `total` bytes in blocks, by `:memcpy` or through a `:socket`.
  """
  @spec floor(programs(), atom(), pos_integer(), pos_integer()) :: map()
  def floor(%{floors: program}, way, block, total), do: run(program, [way, block, total])

  @doc """
  How long a change in memory takes from one processor to another.
  """
  @spec cores(programs()) :: map()
  def cores(%{floors: program}), do: run(program, [:cores])

  defp run(program, args) do
    {output, 0} = System.cmd(program, Enum.map(args, &to_string/1))
    JSON.decode!(output)
  end
end
