defmodule Snakepit.GRPC.ClientTest do
  use ExUnit.Case, async: true

  alias Snakepit.GRPC.Client

  doctest Snakepit.GRPC.Client, import: true

  describe "encode_args/1" do
    test "sends binaries as they are and everything else as JSON" do
      encoded = Client.encode_args(%{:a => 1, :b => "test", "c" => [1, 2, 3], :d => nil})
      assert encoded == %{"a" => "1", "b" => "test", "c" => "[1,2,3]", "d" => "null"}
    end

    test "preserves binary data" do
      binary = <<1, 2, 3, 255>>
      assert Client.encode_args(%{data: binary})["data"] == binary
      assert Client.encode_args(%{data: Snakepit.binary("x")})["data"] == "x"
    end

    test "names the argument that cannot be sent" do
      error = assert_raise Snakepit.Error, fn -> Client.encode_args(%{me: self()}) end
      assert error.kind == :encoding
      assert error.message =~ "args.me"
    end
  end

  describe "decode_result/1" do
    test "decodes what is JSON and keeps the rest" do
      assert Client.decode_result(%{
               "n" => "5",
               "map" => ~s({"a":[1]}),
               "text" => "hello",
               "bytes" => <<0, 255>>,
               "is_final" => true
             }) == %{
               "n" => 5,
               "map" => %{"a" => [1]},
               "text" => "hello",
               "bytes" => <<0, 255>>,
               "is_final" => true
             }
    end
  end
end
