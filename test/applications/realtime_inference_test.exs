defmodule Snakepit.Applications.RealtimeInferenceTest do
  use ExUnit.Case, async: true

  import Snakepit.Test.PoolHelper
  import Snakepit.Test.StreamHelper, only: [await_free: 1]

  @model %{model: "fraud_detection"}

  defp start(module), do: start_pool(python: [path: [], modules: [module]])

  defp transactions(pool) do
    {:ok, %{"transactions" => transactions}} = Snakepit.execute("transactions", %{}, pool: pool)
    assert length(transactions) == 250
    transactions
  end

  defp score(pool, args \\ %{}, sent, opts \\ []) do
    test = self()
    callback = &send(test, {:chunk, &1})
    opts = [pool: pool] ++ opts
    args = Map.merge(@model, args)

    assert :ok = Snakepit.execute_bidi_stream("realtime_inference", args, sent, callback, opts)
    received()
  end

  defp received do
    receive do
      {:chunk, %{"is_final" => true} = final} -> {[], final}
      {:chunk, chunk} -> with {chunks, final} <- received(), do: {[chunk | chunks], final}
    end
  end

  describe "a stream in both directions" do
    setup do
      %{pool: start("snakepit_bridge.examples.fraud")}
    end

    test "scores what the client sends, and tells fraud from the rest", %{pool: pool} do
      transactions = transactions(pool)
      {chunks, final} = score(pool, Stream.map(transactions, &Map.delete(&1, "is_fraud")))

      assert Enum.map(chunks, & &1["id"]) == Enum.map(transactions, & &1["id"])
      assert %{"scored" => 250, "learned" => 0, "accuracy" => nil} = final

      # How often, of one that is fraud and one that is not, the first has the higher score.
      scored = Enum.zip(chunks, transactions)
      frauds = for {chunk, %{"is_fraud" => true}} <- scored, do: chunk["fraud_probability"]
      others = for {chunk, %{"is_fraud" => false}} <- scored, do: chunk["fraud_probability"]
      pairs = for fraud <- frauds, other <- others, do: if(fraud > other, do: 1, else: 0)
      assert Enum.sum(pairs) / length(pairs) > 0.95

      assert final["flagged"] == Enum.count(chunks, & &1["flagged"])
      for chunk <- chunks, do: assert(chunk["flagged"] == chunk["fraud_probability"] >= 0.8)
    end

    test "gives each score before the next transaction is sent", %{pool: pool} do
      test = self()
      transactions = Enum.take(transactions(pool), 20)

      # Each one waits for the score of the one before.
      sent =
        Stream.map(transactions, fn transaction ->
          send(test, {:wants, self()})
          assert_receive :go_on, 10_000
          Map.take(transaction, ["id", "features"])
        end)

      scoring = Task.async(fn -> score_to(test, pool, sent) end)

      for %{"id" => id} <- transactions do
        assert_receive {:wants, sender}, 10_000
        send(sender, :go_on)
        assert_receive {:chunk, %{"id" => ^id}}, 10_000
      end

      assert Task.await(scoring) == :ok
    end

    test "learns what became of transactions", %{pool: pool} do
      [transaction | _] = transactions = transactions(pool)
      again = Map.take(transaction, ["id", "features"])
      outcome = %{id: transaction["id"], is_fraud: true}
      {[before, later], final} = score(pool, [again, outcome, again])
      assert later["fraud_probability"] > before["fraud_probability"]
      assert final["learned"] == 1

      # Not from other streams: this one begins as the model was.
      assert {[^before], _final} = score(pool, [again])

      {_chunks, final} = score(pool, transactions)
      assert final["learned"] == 250
      assert final["accuracy"] > 0.88
    end

    test "ends with an error for what is no transaction, and by :halt", %{pool: pool} do
      callback = fn _chunk -> :halt end
      opts = [pool: pool]

      assert {:error, %Snakepit.Error{kind: :invalid_arguments, message: message}} =
               Snakepit.execute_bidi_stream(
                 "realtime_inference",
                 @model,
                 [%{id: 7, features: %{https: 1}}],
                 fn _chunk -> :cont end,
                 opts
               )

      assert message =~ "transaction 7 has no number as its 'empty_server_form_handler'"

      endless = Stream.cycle(transactions(pool))

      assert :ok =
               Snakepit.execute_bidi_stream("realtime_inference", @model, endless, callback, opts)

      await_free(pool)
    end

    defp score_to(test, pool, sent) do
      callback = &send(test, {:chunk, &1})
      Snakepit.execute_bidi_stream("realtime_inference", @model, sent, callback, pool: pool)
    end
  end

  test "the worker's own transactions are scored as in the seed" do
    pool = start("snakepit_bridge.examples.fraud_feed")
    [%{pid: worker}] = Snakepit.list_workers(pool)
    test = self()
    alert_fraud_team = fn result -> send(test, {:alert, result}) end

    assert :ok =
             Snakepit.GRPCWorker.execute_stream(
               worker,
               "realtime_inference",
               %{model: "fraud_detection", input_stream: "transactions"},
               fn result ->
                 if result["fraud_probability"] > 0.8 do
                   alert_fraud_team.(result)
                 end
               end
             )

    assert_received {:alert, %{"id" => 1_004, "fraud_probability" => probability}}
    assert probability > 0.99
    {:messages, messages} = Process.info(self(), :messages)
    alerts = for {:alert, result} <- messages, do: result
    assert length(alerts) in 80..120
    refute Enum.any?(alerts, & &1["is_final"])
  end

  test "the example scores 250 transactions, and ends by itself" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/realtime_inference.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ ~r/^transaction 1\d{3}: fraud, 99\.\d % sure$/m
    assert output =~ ~r/^250 transactions were scored and \d+ of them flagged\.$/m
    assert output =~ ~r/outcome of 240 was learned; 9\d\.\d % of those had been judged rightly/
    assert output =~ ~r/From sending to the score \d+\.\d+ ms \(median\)/
  end
end
