defmodule Snakepit.Stream do
  @moduledoc """
  A running stream, as returned by `Snakepit.start_stream/3`.

  Its chunks arrive as messages `{:snakepit, stream.ref, {:chunk, map}}`. The struct
  owns the stream: keep it until the last message. If the last reference to it is
  garbage collected, or the process that started it ends, Python is cancelled.

      iex> {:ok, stream} = Snakepit.start_stream("ping_stream")
      iex> inspect(stream)
      ~s(#Snakepit.Stream<"ping_stream" on default-1>)
  """

  @enforce_keys [:ref, :handle, :command, :worker_id]
  defstruct [:ref, :handle, :command, :worker_id, :request_id, :span]

  @type t :: %__MODULE__{
          ref: reference(),
          handle: reference(),
          command: String.t(),
          worker_id: String.t(),
          request_id: String.t() | nil,
          span: struct() | nil
        }

  defimpl Inspect do
    import Inspect.Algebra

    def inspect(stream, opts) do
      concat([
        "#Snakepit.Stream<",
        to_doc(stream.command, opts),
        " on ",
        to_string(stream.worker_id),
        ">"
      ])
    end
  end
end
