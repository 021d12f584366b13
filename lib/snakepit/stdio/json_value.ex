defmodule Snakepit.Stdio.JSONValue do
  @moduledoc false
  # The values of an application as JSON and back, by the rules of MessagePack as far as JSON goes. A
  # binary that is not text travels as {"__bytes__": "<base64>"}, an array of numbers as
  # {"__array__": [shape, dtype, bytes]}, and floats that JSON does not have arrive as
  # {"__float__": name}.

  alias Snakepit.{Array, Binary}

  # Nested deeper than this, MessagePack refuses values too.
  @max_depth 256

  # An array is a map with a list with the list of its sizes.
  @array_depth 3

  # Custom decoders see every object anyway, so the marks cost nothing.
  @decoders [object_finish: &__MODULE__.object/2]

  @doc """
  `,"name":value` for every field, whose values are named in errors by their path.
  """
  @spec members(keyword()) :: {:ok, iodata()} | {:error, String.t()}
  def members(fields) do
    {:ok,
     for({name, value} <- fields, do: [?,, ?", Atom.to_string(name), "\":", value(value, 0)])}
  catch
    {:unencodable, path, problem} ->
      # The path says in which field it is, so the fields are walked again for its name.
      {:error, field_of(fields, path) <> ": " <> problem}
  end

  @spec decode(binary()) :: {:ok, term()} | {:error, String.t()}
  def decode(data) do
    case JSON.decode(data, :ok, @decoders) do
      {value, :ok, rest} -> if blank?(rest), do: {:ok, value}, else: {:error, "text behind it"}
      {:error, {:invalid_byte, at, byte}} -> {:error, "byte #{byte} at #{at}"}
      {:error, {:unexpected_sequence, at, _text}} -> {:error, "invalid text at #{at}"}
      {:error, {:unexpected_end, at}} -> {:error, "it ends at #{at}"}
    end
  rescue
    # Of a mark that marks something else.
    ArgumentError -> {:error, "__bytes__ is not Base64"}
  end

  @doc false
  def object([{"__bytes__", text}], before) when is_binary(text),
    do: {Base.decode64!(text), before}

  def object([{"__float__", "nan"}], before), do: {:nan, before}
  def object([{"__float__", "infinity"}], before), do: {:infinity, before}
  def object([{"__float__", "neg_infinity"}], before), do: {:neg_infinity, before}
  def object([{"__array__", form}], before), do: {Array.from_form(form), before}
  def object(members, before), do: {:maps.from_list(members), before}

  defp blank?(rest), do: String.trim_leading(rest) == ""

  defp value(value, _depth) when is_binary(value), do: text_or_bytes(value)
  defp value(value, _depth) when is_integer(value), do: Integer.to_string(value)
  defp value(value, _depth) when is_float(value), do: :json.encode_float(value)
  defp value(nil, _depth), do: "null"
  defp value(true, _depth), do: "true"
  defp value(false, _depth), do: "false"
  defp value(value, _depth) when is_atom(value), do: :json.encode_binary(Atom.to_string(value))

  defp value({:array, _shape, _dtype, _data} = array, depth)
       when depth + @array_depth <= @max_depth,
       do: array(Array.parts(array))

  defp value({:array, _shape, _dtype, _data}, _depth), do: too_deep()
  defp value(_deep, @max_depth), do: too_deep()

  defp value([], _depth), do: "[]"
  defp value(value, depth) when is_list(value), do: [?[, elements(value, 0, depth + 1), ?]]
  defp value(value, depth) when is_tuple(value), do: value(Tuple.to_list(value), depth)
  defp value(%Binary{data: data}, _depth), do: bytes(data)
  defp value(%module{} = value, _depth), do: structure(module, value)

  defp value(value, depth) when is_map(value) do
    case Enum.map(value, &member(&1, depth + 1)) do
      [] -> "{}"
      [[_comma | first] | rest] -> [?{, first, rest, ?}]
    end
  end

  defp value(value, _depth), do: unencodable("#{kind(value)} cannot be sent to Python")

  defp member({key, value}, depth) do
    name = key(key)
    [?,, :json.encode_binary(name), ?: | value_at(value, depth, "." <> name)]
  end

  defp elements([last], index, depth), do: [value_at(last, depth, index)]

  defp elements([element | rest], index, depth) when is_list(rest),
    do: [value_at(element, depth, index), ?, | elements(rest, index + 1, depth)]

  defp elements(_improper, _index, _depth),
    do: unencodable("an improper list cannot be sent to Python")

  defp value_at(value, depth, step) do
    value(value, depth)
  catch
    {:unencodable, path, problem} -> throw({:unencodable, [step | path], problem})
  end

  defp key(key) when is_binary(key) do
    if String.valid?(key),
      do: key,
      else: unencodable("the name #{inspect(key)} is not valid text")
  end

  defp key(key) when is_atom(key), do: Atom.to_string(key)
  defp key(key) when is_integer(key), do: Integer.to_string(key)
  defp key(key) when is_float(key), do: Float.to_string(key)
  defp key(key), do: unencodable("the name #{inspect(key)} is neither text nor a number")

  defp text_or_bytes(data) do
    :json.encode_binary(data)
  rescue
    ErlangError -> bytes(data)
  end

  defp bytes(data), do: ["{\"__bytes__\":\"", Base.encode64(data), "\"}"]

  defp array({:ok, sizes, dtype, data}),
    do: ["{\"__array__\":[[", Enum.join(sizes, ","), "],\"", dtype, "\",", bytes(data), "]}"]

  defp array({:error, problem}), do: unencodable(problem)

  defp structure(module, %{calendar: Calendar.ISO} = value)
       when module in [Date, Time, NaiveDateTime, DateTime],
       do: [?", module.to_iso8601(value), ?"]

  defp structure(module, _value) when module in [Date, Time, NaiveDateTime, DateTime],
    do: unencodable("%#{inspect(module)}{} has a calendar other than Calendar.ISO")

  defp structure(module, _value) do
    unencodable("%#{inspect(module)}{} cannot be sent to Python; convert it to a plain map first")
  end

  defp kind(value) when is_pid(value), do: "a pid"
  defp kind(value) when is_port(value), do: "a port"
  defp kind(value) when is_reference(value), do: "a reference"
  defp kind(value) when is_function(value), do: "a function"
  defp kind(_value), do: "a bitstring that is no binary"

  @spec too_deep() :: no_return()
  defp too_deep do
    unencodable(
      "values nested more than #{@max_depth} deep cannot be sent; does it contain itself?"
    )
  end

  defp field_of(fields, path) do
    field = Enum.find_value(fields, &if(fails?(elem(&1, 1)), do: elem(&1, 0)))
    Enum.join([field | Enum.map(path, &if(is_integer(&1), do: "[#{&1}]", else: &1))])
  end

  defp fails?(value) do
    _iodata = value(value, 0)
    false
  catch
    {:unencodable, _path, _problem} -> true
  end

  @spec unencodable(String.t()) :: no_return()
  defp unencodable(problem), do: throw({:unencodable, [], problem})
end
