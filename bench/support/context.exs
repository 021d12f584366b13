defmodule Bench.Context do
  @moduledoc false
  # What the questions need to be asked: a worker of ours, grpcio's processes, the Rust programs.

  alias Bench.{Asks, Grpcio, Pools, Rust, Settings}

  @enforce_keys [:settings, :address, :grpcio, :rust]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          settings: Settings.t(),
          address: String.t(),
          grpcio: Grpcio.t(),
          rust: Rust.programs()
        }

  # As many slots as there are callers: waiting for a slot is a row of its own.
  @pool [name: :bench, pool_size: 1, max_concurrent_streams: 16]

  @doc """
  Runs `fun` while all of it is there.
  """
  @spec with_context(Settings.t(), (t() -> result)) :: result when result: term()
  def with_context(settings, fun) do
    rust = Rust.build!()
    directory = Path.join(System.tmp_dir!(), "snakepit-bench-#{System.pid()}")
    File.mkdir_p!(directory)
    System.at_exit(fn _status -> File.rm_rf!(directory) end)

    Pools.with_pool(@pool, fn ->
      [%{address: address}] = Snakepit.list_workers(:bench)
      grpcio = Grpcio.start!(directory, Asks.all(), settings)
      fun.(%__MODULE__{settings: settings, address: address, grpcio: grpcio, rust: rust})
    end)
  end
end
