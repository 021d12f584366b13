defmodule Snakepit.Array do
  @moduledoc """
  Arrays of numbers, which cross to Python and back as they lie in memory.

  An array is `{:array, shape, dtype, data}`:

    * `shape` - a tuple of the sizes of its dimensions, `{2, 3}`; that of a single number is `{}`
    * `dtype` - what an item is: `:f32`, for example; see `t:dtype/0`
    * `data` - the items one after the other, little-endian, the last dimension running fastest

  Wherever a value may stand in arguments, chunks and results, an array may. In Python it is an array of
  numpy; one that a handler gives, of numpy or of anything else with the buffer protocol, is such a
  tuple here.

      iex> data = for n <- 1..6, into: <<>>, do: <<n::16-little>>
      iex> {:ok, reply} = Snakepit.execute("echo", %{steps: {:array, {2, 3}, :s16, data}})
      iex> reply
      %{"steps" => {:array, {2, 3}, :s16, <<1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0>>}}

  These are the types and the shapes of Nx, so that

      tensor = data |> Nx.from_binary(dtype) |> Nx.reshape(shape)
      array = {:array, Nx.shape(tensor), Nx.type(tensor), Nx.to_binary(tensor)}

  are all that it takes; only `:bool` is `:u8` there. From 16 KiB on the data of an array from Python is a
  part of the message that it came in, and not a copy.

  A tuple of four that begins with `:array` and is no array is an error of kind `:encoding`, which names
  its place.
  """

  @typedoc """
  The sizes of the dimensions.
  """
  @type shape :: tuple()

  @typedoc """
  The type of an item. Arrays from Python have the atom; in those to Python the way Nx says it,
  `{:f, 32}`, is as good.

  Unsigned and signed integers, floats and complex numbers, with their bits; a `:bool` is a byte of
  0 or 1, and `:bf16` the upper half of an `:f32`.
  """
  @type dtype ::
          :bool
          | (:u8 | :u16 | :u32 | :u64 | :s8 | :s16 | :s32 | :s64)
          | (:f16 | :bf16 | :f32 | :f64 | :c64 | :c128)
          | {:u | :s | :f | :bf | :c, bits :: pos_integer()}

  @type t :: {:array, shape(), dtype(), data :: binary()}

  @bytes [
    bool: 1,
    u8: 1,
    u16: 2,
    u32: 4,
    u64: 8,
    s8: 1,
    s16: 2,
    s32: 4,
    s64: 8,
    f16: 2,
    bf16: 2,
    f32: 4,
    f64: 8,
    c64: 8,
    c128: 16
  ]

  @names Map.new(@bytes, fn {dtype, _bytes} -> {Atom.to_string(dtype), dtype} end)
  @known Keyword.keys(@bytes)

  @doc false
  # Shape and dtype as they stand on the wire, or what is wrong with the array.
  @spec parts(t()) ::
          {:ok, [non_neg_integer()], dtype :: String.t(), binary()} | {:error, String.t()}
  def parts({:array, shape, dtype, data}) do
    with {:ok, sizes} <- sizes(shape),
         {:ok, name} <- name(dtype),
         {:ok, data} <- data(data),
         :ok <- check(sizes, name, data),
         do: {:ok, sizes, name, data}
  end

  @doc false
  # What the value of the one key stands for; a map that says something else there is a map.
  @spec from_form(term()) :: t() | map()
  def from_form([sizes, name, data] = form)
      when is_list(sizes) and is_binary(name) and is_binary(data) do
    if Enum.all?(sizes, &size?/1) and check(sizes, name, data) == :ok,
      do: {:array, List.to_tuple(sizes), @names[name], data},
      else: %{"__array__" => form}
  end

  def from_form(other), do: %{"__array__" => other}

  defp size?(size), do: is_integer(size) and size >= 0

  defp sizes(shape) when is_tuple(shape) do
    sizes = Tuple.to_list(shape)
    if Enum.all?(sizes, &size?/1), do: {:ok, sizes}, else: sizes(nil)
  end

  defp sizes(_other),
    do: {:error, "the shape of an array must be a tuple of integers from 0 on"}

  defp name({kind, bits}) when is_atom(kind) and is_integer(bits), do: {:ok, "#{kind}#{bits}"}
  defp name(dtype) when is_atom(dtype), do: {:ok, Atom.to_string(dtype)}

  defp name(_other),
    do: {:error, "the dtype of an array must be an atom like :f32, or {:f, 32}"}

  defp data(data) when is_binary(data), do: {:ok, data}
  defp data(_other), do: {:error, "the data of an array must be a binary"}

  defp check(sizes, name, data) when is_map_key(@names, name) do
    case Enum.product([@bytes[@names[name]] | sizes]) do
      needed when needed == byte_size(data) ->
        :ok

      needed ->
        {:error,
         "an array of #{name} with the shape {#{Enum.join(sizes, ", ")}} takes #{needed} bytes, " <>
           "not #{byte_size(data)}"}
    end
  end

  defp check(_sizes, name, _data),
    do: {:error, "the dtype of an array is #{name}, not one of #{Enum.join(@known, " ")}"}
end
