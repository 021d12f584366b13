defmodule Snakepit.ValuesTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper

  alias Snakepit.Error

  setup_all do
    %{pool: start_pool()}
  end

  defp in_python(pool, value) do
    {:ok, %{"type" => type, "repr" => repr}} =
      Snakepit.execute("describe", %{value: value}, pool: pool)

    {type, repr}
  end

  test "Elixir values arrive in Python as documented", %{pool: pool} do
    for {value, expected} <- [
          {nil, {"NoneType", "None"}},
          {true, {"bool", "True"}},
          {false, {"bool", "False"}},
          {0, {"int", "0"}},
          {-1, {"int", "-1"}},
          {9_223_372_036_854_775_807, {"int", "9223372036854775807"}},
          {-9_223_372_036_854_775_808, {"int", "-9223372036854775808"}},
          {18_446_744_073_709_551_615, {"int", "18446744073709551615"}},
          {18_446_744_073_709_551_616, {"int", "18446744073709551616"}},
          {-9_223_372_036_854_775_809, {"int", "-9223372036854775809"}},
          {1.5, {"float", "1.5"}},
          {"grüße", {"str", "'grüße'"}},
          {"", {"str", "''"}},
          {<<0, 255>>, {"bytes", "b'\\x00\\xff'"}},
          {Snakepit.binary("abc"), {"bytes", "b'abc'"}},
          {:atom, {"str", "'atom'"}},
          {Some.Module, {"str", "'Elixir.Some.Module'"}},
          {[1, [2, []]], {"list", "[1, [2, []]]"}},
          {{1, "two"}, {"list", "[1, 'two']"}},
          {%{"b" => %{c: nil}}, {"dict", "{'b': {'c': None}}"}},
          {~D[2026-01-02], {"str", "'2026-01-02'"}},
          {~T[03:04:05], {"str", "'03:04:05'"}},
          {~N[2026-01-02 03:04:05], {"str", "'2026-01-02T03:04:05'"}},
          {~U[2026-01-02 03:04:05Z], {"str", "'2026-01-02T03:04:05Z'"}}
        ] do
      assert in_python(pool, value) == expected
    end
  end

  test "Python values arrive in Elixir as documented", %{pool: pool} do
    {:ok, values} = Snakepit.execute("python_values", %{}, pool: pool)

    assert values == %{
             "none" => nil,
             "true" => true,
             "int" => -7,
             "big" => 1_180_591_620_717_411_303_424,
             "big_negative" => -18_446_744_073_709_551_617,
             "u64" => 18_446_744_073_709_551_615,
             "float" => 1.5,
             "nan" => :nan,
             "inf" => :infinity,
             "neg_inf" => :neg_infinity,
             "str" => "grüße",
             "empty" => "",
             "bytes" => <<0, 255>>,
             "list" => [1, [2, []]],
             "tuple" => [1, "two"],
             "dict" => %{"a" => %{"b" => %{}}, 1 => "one"},
             "datetime" => "2026-01-02T03:04:05",
             "date" => "2026-01-02",
             "time" => "03:04:05"
           }
  end

  test "what goes there and back is the same", %{pool: pool} do
    for value <- [
          nil,
          true,
          "5",
          "true",
          "{\"a\":1}",
          "",
          <<1, 2, 255>>,
          5,
          5.0,
          1.0e300,
          Integer.pow(2, 500),
          -Integer.pow(2, 500),
          [],
          %{},
          [%{"a" => [1, 2.5, nil, "x", <<255>>]}],
          String.duplicate("x", 100_000),
          :crypto.strong_rand_bytes(1_000_000),
          Enum.to_list(1..10_000),
          Map.new(1..500, &{"key #{&1}", &1})
        ] do
      assert Snakepit.execute("echo", %{value: value}, pool: pool) == {:ok, %{"value" => value}}
    end
  end

  test "deeply nested values survive", %{pool: pool} do
    deep = Enum.reduce(1..100, "bottom", fn _, inner -> [%{"in" => inner}] end)
    assert Snakepit.execute("echo", %{value: deep}, pool: pool) == {:ok, %{"value" => deep}}
  end

  test "what cannot be sent is an error that names its place", %{pool: pool} do
    for {bad, what} <- [
          {self(), "pid"},
          {make_ref(), "ref"},
          {fn -> :ok end, "fun"},
          {%URI{}, "URI"},
          {<<1::3>>, "bitstring"}
        ] do
      args = %{model: %{layers: [1, 2, 3, bad]}}
      assert {:error, %Error{} = error} = Snakepit.execute("echo", args, pool: pool)
      assert %{kind: :encoding, command: "echo"} = error
      assert error.message =~ "args.model.layers[3]"
      assert String.downcase(error.message) =~ String.downcase(what)
      assert {:ok, _pong} = Snakepit.execute("ping", %{}, pool: pool)
    end
  end

  test "the same holds for streams", %{pool: pool} do
    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute_stream("count", %{n: self()}, & &1, pool: pool)

    assert message =~ "args.n"
  end

  test "what Python cannot send is an error that names its place", %{pool: pool} do
    assert {:error, %Error{kind: :encoding} = error} =
             Snakepit.execute("give_object", %{}, pool: pool)

    assert error.message =~ "result.layers[2].weights"
    assert error.message =~ "object"

    assert {:error, %Error{kind: :encoding, message: message}} =
             Snakepit.execute("give_set", %{}, pool: pool)

    assert message =~ "result.names"
    assert message =~ "set"
  end
end
