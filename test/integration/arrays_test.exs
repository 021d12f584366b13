defmodule Snakepit.ArraysTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Error

  setup_all do
    %{pool: start_pool(python: [modules: ["test_handlers", "array_handlers"]])}
  end

  defp run(pool, command, args), do: Snakepit.execute(command, args, pool: pool)
  defp floats(list), do: for(x <- list, into: <<>>, do: <<x::float-32-little>>)

  test "an array arrives as numpy's, read-only, in its shape and type", %{pool: pool} do
    for {array, described} <- [
          {{:array, {2, 2}, :f32, floats([1, 2, 3, 4])},
           "float32 (2, 2) [[1.0, 2.0], [3.0, 4.0]]"},
          {{:array, {2}, {:s, 16}, <<1, 0, 255, 255>>}, "int16 (2,) [1, -1]"},
          {{:array, {1}, {:bf, 16}, <<0x80, 0x3F>>}, "bfloat16 (1,) [1.0]"},
          {{:array, {2}, :bool, <<0, 1>>}, "bool (2,) [False, True]"},
          {{:array, {}, :c64, floats([1, 2])}, "complex64 () (1+2j)"},
          {{:array, {0, 7}, :u64, ""}, "uint64 (0, 7) []"}
        ] do
      assert run(pool, "look_at", %{array: array}) ==
               {:ok, %{"array" => described, "writeable" => false}}
    end
  end

  test "whatever numpy holds arrives in the order of its indices", %{pool: pool} do
    ordered = for n <- 0..5, into: <<>>, do: <<n::32-little-signed>>

    assert run(pool, "give_layouts", %{}) ==
             {:ok,
              %{
                "plain" => {:array, {2, 3}, :s32, ordered},
                "fortran" => {:array, {2, 3}, :s32, ordered},
                "strided" => {:array, {2, 3}, :s32, ordered},
                "big_endian" => {:array, {2, 3}, :s32, ordered},
                "number" => {:array, {}, :f64, <<0::64>>},
                "nothing" => {:array, {0, 3}, :u8, ""},
                "standard_library" => {:array, {2}, :f64, <<0::128>>},
                "view_of_bytes" => "bytes"
              }}
  end

  test "in streams of both directions", %{pool: pool} do
    array = {:array, {3}, :f32, floats([1, 2, 3])}

    assert [%{"row" => ^array}, %{"row" => ^array}, %{"is_final" => true, "rows" => 2}] =
             "rows" |> Snakepit.stream!(%{row: array, count: 2}, pool: pool) |> Enum.to_list()

    chunks = for _ <- 1..3, do: %{row: array}

    assert {:ok, %{"total" => {:array, {3}, :f32, total}}} =
             Snakepit.execute_client_stream("total_of_rows", %{}, chunks, pool: pool)

    assert total == floats([3, 6, 9])

    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute_client_stream(
               "total_of_rows",
               %{},
               [%{row: {:array, {1}, :f32, ""}}],
               pool: pool
             )

    assert message =~ "chunk.row: an array of f32"
  end

  test "in a session", %{pool: pool} do
    opts = [session_id: "arrays", pool: pool]
    array = {:array, {2}, :u8, <<200, 100>>}
    assert {:ok, _} = Snakepit.execute("keep_array", %{array: array}, opts)
    assert Snakepit.execute("kept_array", %{}, opts) == {:ok, %{"array" => array}}
  end

  test "what is no array of four is an error that names its place", %{pool: pool} do
    for {bad, text} <- [
          {{:array, {2, 3}, :f32, <<0>>},
           "an array of f32 with the shape {2, 3} takes 24 bytes, not 1"},
          {{:array, {2}, :f31, <<0>>}, "the dtype of an array is f31, not one of bool u8 u16"},
          {{:array, {2}, {:f, 31}, <<0>>}, "the dtype of an array is f31, not one of bool"},
          {{:array, {2}, "f32", <<0>>},
           "the dtype of an array must be an atom like :f32, or {:f, 32}"},
          {{:array, [2], :f32, <<0>>},
           "the shape of an array must be a tuple of integers from 0 on"},
          {{:array, {-1}, :f32, <<0>>},
           "the shape of an array must be a tuple of integers from 0"},
          {{:array, {2.0}, :f32, <<0>>}, "the shape of an array must be a tuple of integers"},
          {{:array, {2 ** 60, 2 ** 60}, :f32, <<0>>}, "takes more bytes, not 1"},
          {{:array, {1}, :u8, 1}, "the data of an array must be a binary"},
          {{:array, {1}, :u8, <<1::3>>}, "the data of an array must be a binary"},
          {Enum.reduce(1..255, {:array, {1}, :u8, "x"}, fn _, inner -> [inner] end), "256 deep"}
        ] do
      assert {:error, %Error{kind: :encoding, message: message}} =
               run(pool, "echo", %{model: [1, bad]})

      assert message =~ "args.model[1]"
      assert message =~ text
    end

    # Tuples of other sizes are lists, as ever.
    assert run(pool, "echo", %{x: {:array, 1, 2}}) == {:ok, %{"x" => ["array", 1, 2]}}
  end

  test "a map under the name of the form that says something else is a map", %{pool: pool} do
    for other <- [1, [], [[2], "u8", <<255>>], [[1], "u7", <<255>>], [[1.0], "u8", <<255>>]] do
      map = %{"__array__" => other}
      assert run(pool, "echo", %{x: map}) == {:ok, %{"x" => map}}
    end

    more = %{"__array__" => [[1], "u8", <<255>>], "more" => 1}
    assert run(pool, "echo", %{x: more}) == {:ok, %{"x" => more}}
  end

  test "arrays at random come back", %{pool: pool} do
    dtypes = [u8: 1, s16: 2, f32: 4, bf16: 2, f64: 8, c128: 16, s64: 8, u32: 4]
    :rand.seed(:exsss, {1, 2, 3})

    values =
      for _ <- 1..200 do
        {dtype, bytes} = Enum.random(dtypes)
        shape = for _ <- 1..:rand.uniform(4)//1, do: :rand.uniform(6) - 1
        {:array, List.to_tuple(shape), dtype, :rand.bytes(Enum.product([bytes | shape]))}
      end

    assert run(pool, "echo", %{values: values}) == {:ok, %{"values" => values}}
  end

  test "the data of a large array is a part of the message, and no copy", %{pool: pool} do
    data = :rand.bytes(8_000_000)

    assert {:ok, %{"x" => {:array, {1_000_000}, :f64, back}}} =
             run(pool, "echo", %{x: {:array, {1_000_000}, :f64, data}})

    assert back == data
    # Memory of the native client, to which the VM has a small handle.
    assert :binary.referenced_byte_size(back) < 1_000
  end

  test "an error is not as long as the array", %{pool: pool} do
    array = {:array, {1_000_000}, :u8, :binary.copy("x", 1_000_000)}
    assert {:error, error} = run(pool, "typed", %{n: array})
    assert error.message =~ "argument 'n' must be int, got ndarray"
    assert byte_size(error.message) < 200
  end
end
