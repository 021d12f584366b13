defmodule Snakepit.Adapters.FramesTest do
  use ExUnit.Case, async: true

  alias Snakepit.Stdio.{Codec, Frames}

  defp frame(body), do: <<byte_size(body)::32, body::binary>>

  # All frames that come out when the bytes arrive in parts of this size.
  defp feed(codec, limit, data, size) do
    data
    |> parts(size)
    |> Enum.reduce({[], Frames.new(codec, limit)}, fn
      _part, {:garbage, _, _} = garbage ->
        garbage

      part, {done, frames} ->
        with {more, frames} <- Frames.feed(frames, part), do: {done ++ more, frames}
    end)
  end

  defp parts("", _size), do: []

  defp parts(data, size) do
    {part, rest} = split(data, size)
    [part | parts(rest, size)]
  end

  defp split(data, size) when byte_size(data) <= size, do: {data, ""}
  defp split(data, size), do: :erlang.split_binary(data, size)

  describe "feed/2" do
    test "finds the frames however they arrive" do
      bodies = [~s({"id":1}), "{}", ~s({"data":"#{String.duplicate("x", 5_000)}"}), ~s({"id":2})]
      data = Enum.map_join(bodies, &frame/1)

      for size <- [1, 2, 3, 4, 5, 7, 64, 4_096, byte_size(data)] do
        assert {frames, _rest} = feed(:json, 10_000, data, size)
        assert frames == Enum.map(bodies, &{:frame, &1})
      end
    end

    test "passes over a frame that is too large, with its id" do
      large = ~s({"id":7,"data":"#{String.duplicate("x", 1_000)}"})
      data = frame(large) <> frame("{}")

      for size <- [1, 3, 10, 100, byte_size(data)] do
        assert {[{:too_large, 7, length}, {:frame, "{}"}], _rest} = feed(:json, 100, data, size)
        assert length == byte_size(large)
      end
    end

    test "tells garbage at its fifth byte, whatever length it seems to have" do
      for {codec, text} <- [
            {:json, "Hello"},
            {:json, "\n\n\n\n\n"},
            {:json, <<0, 0, 0, 5, ?[>>},
            {:json, <<0::64>>},
            {:msgpack, <<0, 0, 0, 5, 0x93>>},
            {:msgpack, "print"}
          ] do
        assert {:garbage, [], _text} = feed(codec, 1_000_000_000, text, 1)
      end
    end

    test "gives what came before garbage" do
      data = frame(~s({"id":1})) <> "Traceback"

      assert {:garbage, [{:frame, ~s({"id":1})}], text} =
               Frames.feed(Frames.new(:json, 100), data)

      assert text == ~s("Traceback")
    end

    test "gathers nothing of a frame that may not be" do
      head = <<0xFFFFFFFF::32>> <> ~s({"data":"#{String.duplicate("x", 100)})
      assert {:garbage, [], _text} = Frames.feed(Frames.new(:json, 1_000), head)
    end
  end

  test "the id is found at the beginning of a frame, in every form" do
    for id <- [0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296] do
      for codec <- [:json, :msgpack] do
        {:ok, frame, size} = Codec.encode(codec, id, success: true)
        assert <<^size::32, body::binary>> = IO.iodata_to_binary(frame)
        assert Codec.id(codec, body) == {:ok, id}
        assert {:ok, %{"id" => ^id, "success" => true}} = Codec.decode(codec, body)
      end
    end

    assert Codec.id(:json, ~s({"id": 12, "success": true})) == {:ok, 12}

    for text <- [~s({"id":"1"}), ~s({"id":1.5}), ~s({"id":-1}), ~s({"x":1}), ~s({"id":1)],
        do: assert(Codec.id(:json, text) == :error)
  end

  describe "MessagePack" do
    test "takes any amount of values, in time slices" do
      values = Enum.to_list(1..100_000)
      {:ok, frame, _size} = Codec.encode(:msgpack, 1, args: %{values: values})
      <<_size::32, body::binary>> = IO.iodata_to_binary(frame)
      assert {:ok, %{"args" => %{"values" => ^values}}} = Codec.decode(:msgpack, body)
    end

    test "names the value that it cannot take" do
      assert {:error, "args.model.layers[2]: a pid cannot be sent to Python"} =
               Codec.encode(:msgpack, 1, args: %{model: %{layers: [1, 2, self()]}})
    end

    test "refuses what is none" do
      for data <- ["", <<0xC1>>, <<0x81, 0xA1>>, <<0xDF, 0xFFFFFFFF::32>>, "abc", <<0x80, 0>>] do
        assert {:error, text} = Codec.decode(:msgpack, data)
        assert text =~ "MessagePack" or text =~ "behind the value"
      end
    end

    test "large binaries are parts of the frame" do
      data = :binary.copy(<<255>>, 100_000)
      {:ok, frame, _size} = Codec.encode(:msgpack, 1, args: %{data: data})
      <<_size::32, body::binary>> = IO.iodata_to_binary(frame)
      assert {:ok, %{"args" => %{"data" => part}}} = Codec.decode(:msgpack, body)
      assert part == data
      assert :binary.referenced_byte_size(part) > byte_size(part)
    end
  end
end
