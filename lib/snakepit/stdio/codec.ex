defmodule Snakepit.Stdio.Codec do
  @moduledoc false
  # What stands in a frame. The id comes first in both codecs, so that the owner of the port finds it
  # without decoding the rest.

  alias Snakepit.GRPC.Native
  alias Snakepit.Stdio.JSONValue

  @type codec :: :json | :msgpack

  @excerpt 200

  @doc """
  A frame with its length in front. The values of `fields` are those of an application.
  """
  @spec encode(codec(), non_neg_integer(), keyword()) ::
          {:ok, iodata(), size :: non_neg_integer()} | {:error, String.t()}
  def encode(:json, id, fields) do
    with {:ok, members} <- JSONValue.members(fields) do
      frame(["{\"id\":", Integer.to_string(id), members, ?}])
    end
  end

  def encode(:msgpack, id, fields) do
    pairs = [{"id", id} | for({name, value} <- fields, do: {Atom.to_string(name), value})]

    packed = with :yield <- Native.pack(pairs), do: Native.pack_large(pairs)
    with {:ok, data} <- packed, do: frame(data)
  end

  defp frame(data) do
    size = IO.iodata_length(data)
    {:ok, [<<size::32>> | data], size}
  end

  @spec decode(codec(), binary()) :: {:ok, term()} | {:error, String.t()}
  def decode(:json, data), do: JSONValue.decode(data)

  def decode(:msgpack, data),
    do: with(:yield <- Native.unpack(data), do: Native.unpack_large(data))

  @doc """
  Can a frame begin with this byte? It holds an object.
  """
  @spec begins?(codec(), byte()) :: boolean()
  def begins?(:json, byte), do: byte == ?{
  def begins?(:msgpack, byte), do: byte in 0x80..0x8F or byte in [0xDE, 0xDF]

  @doc """
  The id at the beginning of a frame.
  """
  @spec id(codec(), binary()) :: {:ok, non_neg_integer()} | :error
  def id(:json, <<"{\"id\":", rest::binary>>), do: digits(rest)
  def id(:json, _other), do: :error
  def id(:msgpack, <<8::4, _size::4, rest::binary>>), do: packed_id(rest)
  def id(:msgpack, <<0xDE, _size::16, rest::binary>>), do: packed_id(rest)
  def id(:msgpack, <<0xDF, _size::32, rest::binary>>), do: packed_id(rest)
  def id(:msgpack, _other), do: :error

  @doc """
  The beginning of something that should have been a frame, for an error.
  """
  @spec excerpt(binary()) :: String.t()
  def excerpt(data) do
    data
    |> binary_part(0, min(byte_size(data), @excerpt))
    |> String.replace_invalid()
    |> inspect(binaries: :as_strings)
  end

  @spec transport(codec()) :: String.t()
  def transport(:json), do: "stdio-json"
  def transport(:msgpack), do: "stdio-msgpack"

  defp digits(<<" ", rest::binary>>), do: digits(rest)
  defp digits(<<digit, rest::binary>>) when digit in ?0..?9, do: digits(rest, digit - ?0)
  defp digits(_other), do: :error

  defp digits(<<digit, rest::binary>>, id) when digit in ?0..?9,
    do: digits(rest, id * 10 + digit - ?0)

  defp digits(<<next, _rest::binary>>, id) when next in [?,, ?}, ?\s], do: {:ok, id}
  defp digits(_other, _id), do: :error

  defp packed_id(<<0xA2, "id", 0::1, id::7, _rest::binary>>), do: {:ok, id}
  defp packed_id(<<0xA2, "id", 0xCC, id, _rest::binary>>), do: {:ok, id}
  defp packed_id(<<0xA2, "id", 0xCD, id::16, _rest::binary>>), do: {:ok, id}
  defp packed_id(<<0xA2, "id", 0xCE, id::32, _rest::binary>>), do: {:ok, id}
  defp packed_id(<<0xA2, "id", 0xCF, id::64, _rest::binary>>), do: {:ok, id}
  defp packed_id(_other), do: :error
end
