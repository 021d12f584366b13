# A model looks at images, and what it sees on each is there as soon as it is found: a neural network of
# scikit-learn, trained once, and 360 handwritten digits that it has never seen, as PNG files. Run it with
#
#     scripts/setup && scripts/fetch-example-data sklearn PIL
#     mix run examples/batch_inference.exs

defmodule BatchInference do
  @moduledoc """
  Shows the first answers as they come, and says how many were right.
  """

  alias Snakepit.Progress

  @shown 5

  def run do
    directory = Path.expand("../_build/examples", __DIR__)
    {:ok, digits} = Snakepit.execute("digits", %{directory: directory}, timeout: 120_000)
    %{"model_path" => model, "image_paths" => paths, "labels" => labels} = digits
    IO.puts("The model is #{Path.relative_to_cwd(model)}.\n")

    right = :counters.new(1, [])

    began = now()

    :ok =
      Snakepit.execute_stream(
        "batch_inference",
        %{model_path: model, batch_items: paths},
        Progress.bar(
          fn
            %{"is_final" => true, "total_processed" => total} ->
              share = Float.round(100 * :counters.get(right, 1) / total, 1)
              IO.puts("Batch complete: #{total} images, #{share}% of them read rightly.\n")

            %{"image_index" => index} = chunk ->
              if chunk["prediction"] == Enum.at(labels, index), do: :counters.add(right, 1, 1)
              if index < @shown, do: Progress.puts(line(chunk, began))
          end,
          total: length(paths),
          unit: "images"
        )
      )

    # One that is missing is its own error, and who has seen enough says :halt.
    began = now()

    :ok =
      Snakepit.execute_stream(
        "batch_inference",
        %{model_path: model, batch_items: ["nothing.png" | paths]},
        fn chunk ->
          IO.puts(line(chunk, began))
          if chunk["image_index"] == 1, do: :halt
        end
      )

    IO.puts("That was enough.")
  end

  defp line(%{"error" => error}, _began), do: "  " <> error

  defp line(chunk, began) do
    "  #{Path.basename(chunk["item"])}: #{chunk["prediction"]} " <>
      "(#{chunk["confidence"]}% confidence) after #{now() - began} ms"
  end

  defp now, do: System.monotonic_time(:millisecond)
end

{:ok, _pool} =
  Supervisor.start_link(
    [
      {Snakepit.Pool,
       pool_size: 1, python: [modules: ["snakepit_bridge.examples.images"], threads: 1]}
    ],
    strategy: :one_for_one
  )

BatchInference.run()
