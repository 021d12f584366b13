defmodule Snakepit.Adapters.ClosedPipeTest do
  # A pipe that closes while calls are made: the end of a call may be told before its caller has found
  # that nothing can be written.
  use ExUnit.Case, async: true

  alias Snakepit.Stdio.{Call, Channel}

  @calls 20_000

  test "a call that cannot be written leaves no message behind" do
    port = Port.open({:spawn_executable, System.find_executable("cat")}, [:binary])
    Port.close(port)
    calls = :ets.new(:calls, [:public])

    channel = %Channel{
      port: port,
      owner: spawn_link(fn -> end_all(calls) end),
      writer: self(),
      calls: calls,
      counters: :atomics.new(2, signed: true),
      codec: :json,
      worker_id: "closed",
      target: "closed"
    }

    caller =
      Task.async(fn ->
        for _ <- 1..@calls do
          assert Call.exchange(channel, [command: "ping", args: %{}], 5_000) ==
                   {:error, :grpc_unavailable}
        end

        Process.info(self(), :messages)
      end)

    assert Task.await(caller, 60_000) == {:messages, []}
  end

  # As the owner of the pipes does when they close.
  defp end_all(calls) do
    for {id, ref, _caller} <- :ets.tab2list(calls) do
      send(ref, {ref, {:error, :worker_exited}})
      :ets.delete(calls, id)
    end

    end_all(calls)
  end
end
