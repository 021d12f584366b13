defmodule Snakepit.GRPC.JSONCodec do
  @moduledoc false
  # The rule for peers that do not speak MessagePack: a binary is sent as it is and anything
  # else as JSON; what comes back is decoded if it is JSON. Lossy: "5" comes back as 5.

  alias Snakepit.{Binary, Error}

  @spec encode(map()) :: {:ok, %{String.t() => binary()}} | {:error, Error.t()}
  def encode(args) do
    {:ok, Map.new(args, fn {key, value} -> {key(key), value(key, value)} end)}
  catch
    {:encoding, message} -> {:error, %Error{kind: :encoding, message: message}}
  end

  @spec decode(map()) :: %{String.t() => term()}
  def decode(result), do: Map.new(result, fn {key, value} -> {key, decode_value(value)} end)

  defp key(key) when is_atom(key) or is_binary(key) or is_integer(key), do: to_string(key)

  defp key(key),
    do: throw({:encoding, "args: the key #{inspect(key)} is not a string or an atom"})

  defp value(_key, %Binary{data: data}), do: data
  defp value(_key, value) when is_binary(value), do: value

  defp value(key, {:array, _shape, _dtype, _data}) do
    throw(
      {:encoding, "args.#{key(key)}: an array cannot be sent as JSON; send a list or its data"}
    )
  end

  defp value(key, value) do
    JSON.encode!(value)
  rescue
    error ->
      throw({:encoding, "args.#{key(key)} cannot be sent as JSON: #{Exception.message(error)}"})
  end

  defp decode_value(value) when is_binary(value) do
    case JSON.decode(value) do
      {:ok, decoded} -> decoded
      {:error, _not_json} -> value
    end
  end

  # The flag of a chunk is not one of its values.
  defp decode_value(value), do: value
end
