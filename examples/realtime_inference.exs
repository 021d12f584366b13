# Transactions go to Python as they happen, and their scores come back while others are on their way:
# one stream in both directions. What becomes of a transaction is known later; then it is sent too, and
# the model learns from it. Run it with
#
#     scripts/setup && scripts/fetch-example-data river
#     mix run examples/realtime_inference.exs

defmodule Shop do
  @moduledoc """
  Sends transactions, two milliseconds after one another, and the truth of each ten transactions
  later.
  """

  @later 10

  def transactions(all) do
    truths = List.duplicate(nil, @later) ++ Enum.map(all, &Map.take(&1, ["id", "is_fraud"]))

    all
    |> Enum.zip(truths)
    |> Stream.flat_map(fn {transaction, truth} ->
      Process.sleep(2)
      sent(Map.take(transaction, ["id", "features"])) ++ List.wrap(truth)
    end)
  end

  defp sent(transaction) do
    :ets.insert(__MODULE__, {transaction["id"], System.monotonic_time(:microsecond)})
    [transaction]
  end

  def microseconds_since_sent(id),
    do: System.monotonic_time(:microsecond) - :ets.lookup_element(__MODULE__, id, 2)
end

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 1, python: [modules: ["snakepit_bridge.examples.fraud"]]}],
    strategy: :one_for_one
  )

:ets.new(Shop, [:named_table, :public])
{:ok, %{"transactions" => transactions}} = Snakepit.execute("transactions")
truth = Map.new(transactions, &{&1["id"], &1["is_fraud"]})
me = self()

:ok =
  Snakepit.execute_bidi_stream(
    "realtime_inference",
    %{model: "fraud_detection", threshold: 0.8},
    Shop.transactions(transactions),
    fn
      %{"is_final" => true} = final ->
        send(me, {:final, final})

      %{"id" => id, "fraud_probability" => probability} ->
        send(me, {:took, Shop.microseconds_since_sent(id)})

        if probability > 0.997 do
          IO.puts(
            "transaction #{id}: fraud, #{Float.round(probability * 100, 1)} % sure" <>
              if(truth[id], do: "", else: ", and wrong")
          )
        end
    end
  )

final = receive(do: ({:final, final} -> final))

took =
  Enum.sort(for _ <- 1..final["scored"], do: receive(do: ({:took, microseconds} -> microseconds)))

IO.puts("""

#{final["scored"]} transactions were scored and #{final["flagged"]} of them flagged.
The outcome of #{final["learned"]} was learned; #{round(final["accuracy"] * 1000) / 10} % of those had been judged rightly.
From sending to the score #{Enum.at(took, div(length(took), 2)) / 1000} ms (median), 99 of 100 within #{Enum.at(took, floor(length(took) * 0.99)) / 1000} ms.\
""")
