# A network learns to read handwritten digits, in four processes at the same time whose parameters are
# averaged after each epoch. The first training is ended early, and goes on from its checkpoint; then
# the saved model reads digits, and a model is trained and asked in a session. Run it with
#
#     scripts/setup && scripts/fetch-example-data sklearn
#     mix run examples/distributed_training.exs

defmodule Training do
  @moduledoc """
  Trains, and shows each epoch.
  """

  def run(args, epochs, on_epoch \\ fn _chunk -> :cont end) do
    args =
      Map.merge(
        %{
          model_config: %{architecture: "mlp", layers: 2, hidden_size: 64},
          training_config: %{
            epochs: epochs,
            batch_size: 16,
            learning_rate: 0.1,
            decay: 0.95,
            processes: 4
          }
        },
        args
      )

    :ok =
      Snakepit.execute_stream("distributed_training", args, fn
        %{"is_final" => true} = final ->
          best = percent(final["best_val_accuracy"])
          IO.puts("#{final["total_epochs"]} epochs, at best #{best} of the validation right.")

        chunk ->
          show(chunk)
          on_epoch.(chunk)
      end)
  end

  defp show(chunk) do
    IO.puts(
      "epoch #{String.pad_leading("#{chunk["epoch"]}", 2)}" <>
        "  train: loss #{decimals(chunk["train_loss"])}, #{percent(chunk["train_acc"])}" <>
        "  validation: loss #{decimals(chunk["val_loss"])}, #{percent(chunk["val_acc"])}" <>
        "  rate #{decimals(chunk["learning_rate"])}" <>
        "  #{decimals(chunk["time_elapsed"], 1)} s" <>
        "  #{length(chunk["memory"]["processes_mb"])} x #{round(hd(chunk["memory"]["processes_mb"]))} MB"
    )
  end

  def percent(share), do: "#{decimals(share * 100, 1)} %"
  defp decimals(number, places \\ 3), do: :erlang.float_to_binary(number / 1, decimals: places)
end

{:ok, _pool} =
  Supervisor.start_link(
    [{Snakepit.Pool, pool_size: 1, python: [modules: ["snakepit_bridge.examples.training"]]}],
    strategy: :one_for_one
  )

directory = Path.join(System.tmp_dir!(), "distributed_training-#{System.pid()}")
File.mkdir_p!(directory)
first = Path.join(directory, "first.npz")
second = Path.join(directory, "second.npz")

Training.run(%{model_path: first}, 100, fn %{"epoch" => epoch} -> if epoch == 5, do: :halt end)

IO.puts(
  "That is enough for now. Its best epoch is in #{Path.basename(first)}, and training goes on:"
)

Training.run(%{resume_from: first, model_path: second}, 10)

# A zero and a one that were not drawn by hand.
zero = [
  [0, 0, 5, 14, 14, 4, 0, 0],
  [0, 0, 14, 10, 8, 14, 0, 0],
  [0, 4, 15, 0, 0, 12, 4, 0],
  [0, 5, 12, 0, 0, 9, 8, 0],
  [0, 6, 10, 0, 0, 9, 8, 0],
  [0, 4, 12, 0, 0, 12, 6, 0],
  [0, 1, 14, 7, 7, 14, 1, 0],
  [0, 0, 6, 15, 14, 5, 0, 0]
]

one = List.duplicate([0, 0, 0, 12, 16, 2, 0, 0], 8)
features = Enum.map([zero, one], &List.flatten/1)

{:ok, %{"predictions" => digits, "confidences" => confidences}} =
  Snakepit.execute("predict", %{features: features, model_path: second})

for {digit, confidence} <- Enum.zip(digits, confidences),
    do: IO.puts("The saved model reads a #{digit}, #{Training.percent(confidence)} sure.")

# The same in a session, where the model stays in Python.
{:ok, _} = Snakepit.execute_in_session("ml", "initialize_model", %{architecture: "softmax"})

:ok =
  Snakepit.execute_in_session_stream("ml", "train_model", %{epochs: 3}, fn
    %{"is_final" => true} -> :ok
    chunk -> IO.puts("Epoch #{chunk["epoch"]}: loss=#{chunk["loss"]}")
  end)

{:ok, %{"predictions" => digits}} =
  Snakepit.execute_in_session("ml", "predict", %{features: features})

IO.puts("The model of the session reads #{Enum.join(digits, " and ")}.")
File.rm_rf!(directory)
