defmodule Snakepit.Applications.BatchInferenceTest do
  # A model and images as in the example, and the code of the first documents as it stands there.
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO
  import Snakepit.Test.Await, only: [await_free: 1]
  import Snakepit.Test.PoolHelper

  alias Snakepit.GRPCWorker

  @moduletag timeout: 120_000

  setup_all do
    pool =
      start_pool(python: [path: [], modules: ["snakepit_bridge.examples.images"], threads: 1])

    directory = Path.expand("_build/examples")
    {:ok, digits} = Snakepit.execute("digits", %{directory: directory}, pool: pool)
    %{pool: pool, model: digits["model_path"], images: digits["image_paths"], digits: digits}
  end

  test "the network reads what it has never seen", context do
    args = %{model_path: context.model, batch_items: context.images}
    chunks = "batch_inference" |> Snakepit.stream!(args, pool: context.pool) |> Enum.to_list()

    assert {chunks, [final]} = Enum.split(chunks, -1)
    assert %{"total_processed" => 360, "failed" => 0, "batch_complete" => true} = final
    read = Enum.map(chunks, & &1["prediction"])

    right =
      Enum.zip(read, context.digits["labels"]) |> Enum.count(fn {one, other} -> one == other end)

    assert right / 360 > 0.95
  end

  test "the callback of the user's guide", context do
    batch_items = Enum.take(context.images, 3)

    output =
      capture_io(fn ->
        assert :ok =
                 Snakepit.execute_stream(
                   "batch_inference",
                   %{
                     model_path: context.model,
                     batch_items: batch_items
                   },
                   fn chunk ->
                     if chunk["is_final"] do
                       IO.puts("🎉 Batch inference complete!")
                     else
                       item = chunk["item"]
                       prediction = chunk["prediction"]
                       confidence = chunk["confidence"]
                       IO.puts("🧠 #{item}: #{prediction} (#{confidence}% confidence)")
                     end
                   end,
                   pool: context.pool
                 )
      end)

    assert [one, _two, _three, "🎉 Batch inference complete!", ""] = String.split(output, "\n")
    assert one =~ ~r/^🧠 .*image_000.png: \d \(\d+\.\d% confidence\)$/u
  end

  test "the callback of the streaming examples, on a worker and with JSON in the arguments",
       context do
    [%{pid: worker}] = Snakepit.list_workers(context.pool)

    output =
      capture_io(fn ->
        assert :ok =
                 GRPCWorker.execute_stream(
                   worker,
                   "batch_inference",
                   %{
                     model_path: context.model,
                     image_paths: JSON.encode!(Enum.take(context.images, 3))
                   },
                   fn chunk ->
                     if chunk["is_final"] do
                       IO.puts("✅ Batch complete: #{chunk["total_processed"]} images")
                     else
                       IO.puts(
                         "📸 Processed #{chunk["image_path"]}: #{chunk["confidence"]}% confidence"
                       )
                     end
                   end
                 )
      end)

    assert ["📸 Processed " <> _, _, _, "✅ Batch complete: 3 images", ""] =
             String.split(output, "\n")
  end

  test "an answer is there long before the last, and who halts leaves nothing running", context do
    many = context.images |> Stream.cycle() |> Enum.take(20_000)
    args = %{model_path: context.model, batch_items: many}
    test = self()

    assert :ok =
             Snakepit.execute_stream(
               "batch_inference",
               args,
               fn chunk ->
                 send(test, {:seen, chunk["image_index"]})
                 :halt
               end,
               pool: context.pool
             )

    assert_received {:seen, 0}
    refute_received {:seen, _another}
    await_free(context.pool)
  end

  test "what is missing is told where it is looked for", context do
    args = %{model_path: context.model, batch_items: ["/no/image.png", hd(context.images)]}
    chunks = "batch_inference" |> Snakepit.stream!(args, pool: context.pool) |> Enum.to_list()
    assert [%{"error" => error}, %{"prediction" => _}, %{"failed" => 1}] = chunks
    assert error =~ "No such file"

    args = %{model_path: "/models/resnet50.pkl", batch_items: context.images}
    result = Snakepit.execute_stream("batch_inference", args, & &1, pool: context.pool)
    assert {:error, %Snakepit.Error{python_type: "FileNotFoundError"}} = result
  end

  test "the example runs" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/batch_inference.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ ~r/^  image_000.png: \d \(\d+\.\d% confidence\) after \d+ ms$/m
    assert [_, share] = Regex.run(~r/Batch complete: 360 images, (\d+\.\d)% of them/, output)
    assert String.to_float(share) > 95
    assert output =~ ~r/No such file.*'nothing.png'\n  image_000.png: .*\nThat was enough.$/m
  end
end
