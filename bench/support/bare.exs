defmodule Bench.Bare do
  @moduledoc false
  # The bare Rust tonic client, against the worker of our pool.

  @target_dir "_build/native"

  @doc """
  Builds the client and returns where it is.
  """
  def build! do
    root = File.cwd!()

    args =
      ~w(build --release --locked --quiet -p snakepit_client --example bare --target-dir) ++
        [Path.join(root, @target_dir)]

    {_output, 0} = System.cmd("cargo", args, cd: Path.join(root, "native"), into: IO.stream())
    Path.join([root, @target_dir, "release/examples/bare"])
  end

  @doc """
  Answers a question by an RPC for each call, or with its calls on the lane.
  """
  def measure(program, address, question, way \\ :rpc)

  def measure(program, address, question, :rpc) do
    run(program, address, question.mode, question)
  end

  def measure(program, address, %{mode: :unary} = question, :lane) do
    run(program, address, :lane, question)
  end

  def measure(_program, _address, _stream, :lane), do: nil

  defp run(program, address, mode, question) do
    args = [address, mode, question.fast, question.size, question.callers]
    {output, 0} = System.cmd(program, Enum.map(args, &to_string/1))
    JSON.decode!(output)
  end
end
