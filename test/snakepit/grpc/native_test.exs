defmodule Snakepit.GRPC.NativeTest do
  # No call of the library may keep a scheduler for longer than a millisecond: what costs more
  # answers `:yield`, and is done again on a dirty scheduler.
  use ExUnit.Case, async: true

  alias Snakepit.GRPC.Native

  @megabyte 1_048_576

  setup do
    options = %{token: nil, max_message_size: 64 * @megabyte, connect_timeout: 1_000}
    {:ok, channel} = Native.channel_open("unix:/nowhere", Map.put(options, :worker_id, "none"))
    on_exit(fn -> Native.channel_close(channel) end)
    %{channel: channel}
  end

  defp call(channel, args, metadata, codec),
    do: Native.call(channel, make_ref(), {"echo", nil, args, 0, "id", metadata, codec})

  defp data(megabytes), do: :binary.copy(<<0>>, round(megabytes * @megabyte))

  for codec <- [:raw, :msgpack] do
    @codec codec

    test "takes little at once (#{codec})", %{channel: channel} do
      assert channel
             |> call(%{"data" => data(0.1)}, %{"key" => "value"}, @codec)
             |> is_reference()
    end

    test "yields for much, wherever it is (#{codec})", %{channel: channel} do
      assert call(channel, %{"data" => data(4)}, %{}, @codec) == :yield
      assert call(channel, %{data(4) => ""}, %{}, @codec) == :yield
      assert call(channel, %{}, %{"data" => data(4)}, @codec) == :yield
      assert call(channel, %{}, %{data(4) => ""}, @codec) == :yield
      assert call(channel, %{"data" => data(1.2)}, %{"data" => data(1.2)}, @codec) == :yield
      many = Map.new(1..20_000, &{"key #{&1}", ""})
      assert call(channel, many, %{}, @codec) == :yield
      assert call(channel, %{}, many, @codec) == :yield
    end
  end

  test "does not walk a list that is too long", %{channel: channel} do
    list = Enum.to_list(1..3_000_000)

    # The best of some: the machine may be busy.
    times =
      for _ <- 1..10 do
        {time, :yield} = :timer.tc(fn -> call(channel, %{"list" => list}, %{}, :msgpack) end)
        time
      end

    assert Enum.min(times) < 1_500
  end

  test "refuses an improper list", %{channel: channel} do
    assert {:error, %Snakepit.Error{kind: :encoding} = error} =
             call(channel, %{"list" => [1, [2 | 3]]}, %{}, :msgpack)

    assert error.message =~ "args.list[1]"
    assert error.message =~ "improper"
  end
end
