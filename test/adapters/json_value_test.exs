defmodule Snakepit.Adapters.JSONValueTest do
  use ExUnit.Case, async: true

  alias Snakepit.Stdio.JSONValue

  defp encoded(value) do
    {:ok, iodata} = JSONValue.members(args: value)
    "," <> members = IO.iodata_to_binary(iodata)
    "{#{members}}"
  end

  # What Python would send back.
  defp back(value) do
    {:ok, %{"args" => value}} = value |> encoded() |> JSONValue.decode()
    value
  end

  test "values as JSON has them" do
    for value <- [
          nil,
          true,
          false,
          0,
          -1,
          2 ** 64,
          -(2 ** 200),
          1.5,
          1.0e300,
          "",
          "grüße",
          ~s(a "quote" \\ and \n a line),
          [],
          [1, [2, []]],
          %{},
          %{"a" => %{"b" => [nil]}}
        ] do
      assert back(value) == value
    end
  end

  test "values that JSON has no form for" do
    assert back(<<0, 255>>) == <<0, 255>>
    assert encoded(<<0, 255>>) == ~s({"args":{"__bytes__":"AP8="}})
    assert encoded(Snakepit.binary("abc")) == ~s({"args":{"__bytes__":"YWJj"}})
    assert back({1, :two}) == [1, "two"]
    assert back(%{:a => 1, 2 => 3, 1.5 => 4}) == %{"a" => 1, "2" => 3, "1.5" => 4}
    assert back(~D[2026-01-02]) == "2026-01-02"
    assert back(~T[03:04:05.123]) == "03:04:05.123"
    assert back(~N[2026-01-02 03:04:05]) == "2026-01-02T03:04:05"
    assert back(~U[2026-01-02 03:04:05Z]) == "2026-01-02T03:04:05Z"

    for {name, atom} <- [{"nan", :nan}, {"infinity", :infinity}, {"neg_infinity", :neg_infinity}] do
      assert JSONValue.decode(~s([{"__float__":"#{name}"}])) == {:ok, [atom]}
    end

    # Not a mark: it says more.
    assert JSONValue.decode(~s({"__float__":"nan","x":1})) ==
             {:ok, %{"__float__" => "nan", "x" => 1}}
  end

  test "arrays of numbers" do
    array = {:array, {2, 1}, :u16, <<1, 0, 0, 2>>}
    assert back([array, 1]) == [array, 1]
    assert back({:array, {2, 1}, {:u, 16}, <<1, 0, 0, 2>>}) == array
    assert encoded(array) == ~s({"args":{"__array__":[[2,1],"u16",{"__bytes__":"AQAAAg=="}]}})
    assert back({:array, {}, :f64, <<0::64>>}) == {:array, {}, :f64, <<0::64>>}
    assert back({:array, {0, 3}, :c128, ""}) == {:array, {0, 3}, :c128, ""}

    # Not one: it says something else.
    for form <- [1, [[2], "u16", "abc"], [[2], "x", "ab"], [[-1], "u8", ""], [["1"], "u8", "a"]] do
      map = %{"__array__" => form}
      assert back(map) == map
    end
  end

  test "an error names the path" do
    for {value, text} <- [
          {%{model: %{layers: [1, 2, 3, self()]}}, "args.model.layers[3]: a pid cannot"},
          {%{f: & &1}, "args.f: a function cannot be sent to Python"},
          {%{a: [make_ref()]}, "args.a[0]: a reference"},
          {%{a: {1, %URI{}}}, "args.a[1]: %URI{} cannot be sent to Python; convert it"},
          {%{a: [1 | 2]}, "args.a: an improper list"},
          {%{a: <<1::3>>}, "args.a: a bitstring"},
          {%{{1, 2} => 1}, "args: the name {1, 2}"},
          {%{<<255>> => 1}, "args: the name <<255>> is not valid text"},
          {%{a: [{:array, {2}, :f32, "x"}]},
           "args.a[0]: an array of f32 with the shape {2} takes 8"},
          {%{a: {:array, {2}, :f31, "x"}},
           "args.a: the dtype of an array is f31, not one of bool"},
          {%{a: {:array, {2}, "f32", "x"}}, "args.a: the dtype of an array must be an atom"},
          {%{a: {:array, [2], :f32, "x"}}, "args.a: the shape of an array must be a tuple"},
          {%{a: {:array, {-2}, :f32, "x"}}, "args.a: the shape of an array must be a tuple"},
          {%{a: {:array, {2}, :f32, 1}}, "args.a: the data of an array must be a binary"},
          {%{a: nested(253, {:array, {}, :u8, "x"})}, "nested more than 256 deep"},
          {%{d: nested(300)}, "nested more than 256 deep"}
        ] do
      assert {:error, message} = JSONValue.members(command: "x", args: value)
      assert message =~ text
    end
  end

  test "text that is no JSON is an error" do
    for text <- ["", "{", "{} x", ~s({"a":tru}), <<?", 255, ?">>, ~s({"__bytes__":"!"}), "nul"],
        do: assert({:error, _where} = JSONValue.decode(text))

    assert JSONValue.decode("{} \n") == {:ok, %{}}
  end

  defp nested(depth, value \\ 1)
  defp nested(0, value), do: value
  defp nested(depth, value), do: [nested(depth - 1, value)]
end
