defmodule Snakepit.GRPC.Native do
  @moduledoc false
  # The functions of the Rust library, and nothing else. Every one decodes its arguments,
  # starts a task and returns; answers are messages `{ref, answer}` to the calling process.

  alias Snakepit.Error

  @on_load :load

  @type channel :: reference()
  @type handle :: reference()
  @type codec :: :msgpack | :raw
  @type request :: {
          command :: String.t(),
          session_id :: String.t() | nil,
          args :: map(),
          timeout_ms :: non_neg_integer(),
          request_id :: String.t(),
          metadata :: map(),
          codec()
        }
  @type mode :: :batch | :each | :result
  @type shape :: :server | :client | :bidi
  @type flow ::
          {window :: pos_integer(), max_buffer :: pos_integer(), timeout_ms :: non_neg_integer(),
           chunk_timeout_ms :: non_neg_integer(), mode(), when_over :: {pid(), term()} | nil,
           gauge() | nil}
  @type gauge :: reference()
  @type reading ::
          {{chunks :: non_neg_integer(), bytes :: non_neg_integer(), sent :: non_neg_integer()},
           first_us :: non_neg_integer() | nil,
           {stalls :: non_neg_integer(), stalled_us :: non_neg_integer(), stalled? :: boolean()},
           outcome :: :open | :ok | {:error, Error.reason()}}
  @type sent :: :ok | :wait | :over | {:error, :encoding | :too_large, String.t()}
  @type started :: handle() | {:error, Error.reason()} | :yield

  # A library that cannot be loaded must not keep the application from starting: it may
  # never call Python. The reason is kept for those that do.
  @doc false
  @spec load() :: :ok
  def load do
    case :erlang.load_nif(path(), 0) do
      :ok ->
        :persistent_term.erase(__MODULE__)
        :ok

      {:error, {_kind, text}} ->
        :persistent_term.put(__MODULE__, to_string(text))
    end
  end

  @doc """
  Is the library there? The error says why not.
  """
  @spec loaded() :: :ok | {:error, Error.t()}
  def loaded do
    case :persistent_term.get(__MODULE__, nil) do
      nil -> :ok
      _text -> {:error, load_error()}
    end
  end

  @spec channel_open(String.t(), map()) :: {:ok, channel()} | {:error, String.t()}
  def channel_open(_target, _options), do: missing()

  @spec channel_lane(channel()) :: :ok
  def channel_lane(_channel), do: missing()

  @spec channel_credit(channel()) :: :ok
  def channel_credit(_channel), do: missing()

  # A stream has ended with the connection, and the worker has not answered since.
  @spec channel_lost(channel()) :: boolean()
  def channel_lost(_channel), do: missing()

  @spec channel_close(channel()) :: :ok
  def channel_close(_channel), do: missing()

  @spec health(channel(), reference(), pos_integer()) :: :ok
  def health(_channel, _ref, _timeout), do: missing()

  # An answer that comes at once is given at once.
  @spec call(channel(), reference(), request()) :: started() | {:ok, map()}
  def call(_channel, _ref, _request), do: missing()

  @spec call_large(channel(), reference(), request()) :: started() | {:ok, map()}
  def call_large(_channel, _ref, _request), do: missing()

  # The answer to a call, once `{ref, :ready}` has come. It is given once.
  @spec answer(handle()) :: {:ok, map()} | {:error, Error.reason()} | :yield
  def answer(_handle), do: missing()

  @spec answer_large(handle()) :: {:ok, map()} | {:error, Error.reason()}
  def answer_large(_handle), do: missing()

  @spec stream(channel(), reference(), request(), flow(), shape()) :: started()
  def stream(_channel, _ref, _request, _flow, _shape), do: missing()

  @spec stream_large(channel(), reference(), request(), flow(), shape()) :: started()
  def stream_large(_channel, _ref, _request, _flow, _shape), do: missing()

  # Chunks that wait for this process, the bytes they take, and whether there are more. If not,
  # `{ref, :ready}` comes with the next.
  @spec take(handle()) ::
          {[map()], non_neg_integer(), boolean()} | {:error, Error.reason()} | :yield
  def take(_handle), do: missing()

  @spec take_large(handle()) ::
          {[map()], non_neg_integer(), boolean()} | {:error, Error.reason()}
  def take_large(_handle), do: missing()

  # `:wait`: taken, but `{ref, :room}` comes before the next may be sent. `:over`: not taken,
  # because the call has ended.
  @spec send_chunk(handle(), map()) :: sent() | :yield
  def send_chunk(_handle, _chunk), do: missing()

  @spec send_chunk_large(handle(), map()) :: sent()
  def send_chunk_large(_handle, _chunk), do: missing()

  @spec half_close(handle()) :: :ok
  def half_close(_handle), do: missing()

  @spec abort_input(handle(), String.t()) :: :ok
  def abort_input(_handle, _reason), do: missing()

  # For how many microseconds the consumer has held the worker up, when it does so no longer.
  @spec ack(handle(), pos_integer()) :: non_neg_integer()
  def ack(_handle, _count), do: missing()

  @spec cancel(handle()) :: :ok
  def cancel(_handle), do: missing()

  # Knows of a stream, and does not own it.
  @spec gauge() :: gauge()
  def gauge, do: missing()

  @spec gauge_read(gauge()) :: reading()
  def gauge_read(_gauge), do: missing()

  # Its consumer gets `{:error, :cancelled}`. `false` if it was over.
  @spec gauge_end(gauge()) :: boolean()
  def gauge_end(_gauge), do: missing()

  # Names and values as one MessagePack map, in order.
  @spec pack([{String.t(), term()}]) :: {:ok, binary()} | {:error, String.t()} | :yield
  def pack(_pairs), do: missing()

  @spec pack_large([{String.t(), term()}]) :: {:ok, binary()} | {:error, String.t()}
  def pack_large(_pairs), do: missing()

  @spec unpack(binary()) :: {:ok, term()} | {:error, String.t()} | :yield
  def unpack(_packed), do: missing()

  @spec unpack_large(binary()) :: {:ok, term()} | {:error, String.t()}
  def unpack_large(_packed), do: missing()

  @spec signal_group(pos_integer(), pos_integer()) :: :ok | {:error, atom()}
  def signal_group(_os_pid, _signal), do: missing()

  # `message` comes when the process has ended. `:error` where the system has no such news.
  @spec watch_process(pos_integer(), term()) :: :ok | :error
  def watch_process(_os_pid, _message), do: missing()

  # The next events of the library, once there are some, come as `{:snakepit_log, events, dropped}`.
  # `:error` when somebody else in this VM has them.
  @spec log_next() :: :ok | :error
  def log_next, do: missing()

  @spec log_level(String.t()) :: :ok
  def log_level(_level), do: missing()

  defp path do
    case :code.priv_dir(:snakepit) do
      {:error, :bad_name} -> ~c"priv/native/snakepit_nif"
      priv -> :filename.join(priv, ~c"native/snakepit_nif")
    end
  end

  defp missing, do: :erlang.nif_error(load_error())

  defp load_error do
    text = :persistent_term.get(__MODULE__, "it was not loaded")

    %Error{
      kind: :protocol,
      message:
        "The native library of Snakepit is not available: #{text}. " <>
          "Build it with `mix compile`; `mix snakepit.doctor` says what is missing."
    }
  end
end
