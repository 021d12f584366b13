defmodule Snakepit.Stdio.Frames do
  @moduledoc false
  # Cuts what a worker writes into frames. The length of a frame is believed only after a look at the
  # next byte, so that stray text is recognised at once instead of being waited for, and nothing is
  # gathered beyond the limit.

  alias Snakepit.Stdio.Codec

  @enforce_keys [:codec, :limit]
  # `size` bytes of a frame are missing while its beginnings are in `parts`; `skip` bytes of one that
  # is too large are still to come.
  defstruct [:codec, :limit, rest: "", parts: [], missing: 0, skip: 0]

  @type t :: %__MODULE__{}
  @type frame :: {:frame, binary()} | {:too_large, non_neg_integer(), pos_integer()}

  # As much of the beginning of a frame as its id may take.
  @head 64

  @spec new(:json | :msgpack, pos_integer()) :: t()
  def new(codec, limit), do: %__MODULE__{codec: codec, limit: limit}

  @doc """
  The frames that are complete, in order. `:garbage` when what came cannot be one, with its text.
  """
  @spec feed(t(), binary()) :: {[frame()], t()} | {:garbage, [frame()], String.t()}
  def feed(%__MODULE__{skip: skip} = frames, data) when skip > 0 do
    case data do
      <<_skipped::binary-size(skip), data::binary>> -> feed(%{frames | skip: 0}, data)
      _all_of_it -> {[], %{frames | skip: skip - byte_size(data)}}
    end
  end

  def feed(%__MODULE__{missing: missing} = frames, data) when missing > byte_size(data),
    do: {[], %{frames | missing: missing - byte_size(data), parts: [frames.parts, data]}}

  def feed(%__MODULE__{missing: missing} = frames, data) when missing > 0 do
    <<last::binary-size(missing), data::binary>> = data
    frame = IO.iodata_to_binary([frames.parts, last])
    cut(%{frames | missing: 0, parts: []}, data, [{:frame, frame}])
  end

  def feed(%__MODULE__{rest: ""} = frames, data), do: cut(frames, data, [])

  def feed(%__MODULE__{rest: rest} = frames, data),
    do: cut(%{frames | rest: ""}, rest <> data, [])

  defp cut(frames, <<size::32, first, _::binary>> = data, done) do
    cond do
      not Codec.begins?(frames.codec, first) ->
        {:garbage, Enum.reverse(done), Codec.excerpt(data)}

      size > frames.limit ->
        too_large(frames, size, data, done)

      true ->
        cut_frame(frames, size, data, done)
    end
  end

  # Four bytes of a length of nothing are as wrong as any other text.
  defp cut(_frames, <<0::32>> = data, done),
    do: {:garbage, Enum.reverse(done), Codec.excerpt(data)}

  defp cut(frames, data, done), do: {Enum.reverse(done), %{frames | rest: data}}

  defp cut_frame(frames, size, <<_size::32, data::binary>>, done) do
    case data do
      <<frame::binary-size(size), data::binary>> -> cut(frames, data, [{:frame, frame} | done])
      part -> {Enum.reverse(done), %{frames | missing: size - byte_size(part), parts: [part]}}
    end
  end

  # Whoever waits for it is told; the frame itself is passed over.
  defp too_large(frames, size, <<_size::32, start::binary>> = data, done) do
    case Codec.id(frames.codec, start) do
      {:ok, id} ->
        {rest, frames} = feed(%{frames | skip: size}, start)
        {Enum.reverse(done, [{:too_large, id, size} | rest]), frames}

      :error when byte_size(start) < @head ->
        {Enum.reverse(done), %{frames | rest: data}}

      :error ->
        {:garbage, Enum.reverse(done), Codec.excerpt(data)}
    end
  end
end
