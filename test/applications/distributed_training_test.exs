defmodule Snakepit.Applications.DistributedTrainingTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO
  import Snakepit.Test.PoolHelper
  import Snakepit.Test.StreamHelper, only: [await_free: 1, eventually: 1, os_pid: 1]

  alias Snakepit.Test.OsProcess

  setup do
    directory = OsProcess.tmp_dir()

    %{
      pool: start_pool(python: [path: [], modules: ["snakepit_bridge.examples.training"]]),
      model_path: Path.join(directory, "model.npz"),
      digits: digits()
    }
  end

  # Rows and labels as they stand in the package, read without Python.
  defp digits do
    [path] = Path.wildcard(".venv/lib/python*/site-packages/sklearn/datasets/data/digits.csv.gz")
    rows = path |> File.read!() |> :zlib.gunzip() |> String.split("\n", trim: true)

    for row <- rows do
      numbers = for text <- String.split(row, ","), do: text |> Float.parse() |> elem(0)
      {features, [label]} = Enum.split(numbers, -1)
      {features, round(label)}
    end
  end

  defp share_right(context, args, opts) do
    {features, labels} = Enum.unzip(context.digits)
    args = Map.put(args, :features, features)
    {:ok, answer} = Snakepit.execute("predict", args, [pool: context.pool] ++ opts)
    assert Enum.all?(answer["confidences"], &(&1 > 0.1 and &1 <= 1))
    pairs = Enum.zip(answer["predictions"], labels)
    Enum.count(pairs, fn {prediction, label} -> prediction == label end) / length(labels)
  end

  test "the callback of the user's guide shows each epoch and the saved model", context do
    output =
      capture_io(fn ->
        assert :ok =
                 Snakepit.execute_stream(
                   "distributed_training",
                   %{
                     model_config: %{
                       architecture: "mlp",
                       layers: 2,
                       hidden_size: 64
                     },
                     training_config: %{
                       epochs: 8,
                       batch_size: 32,
                       learning_rate: 0.1
                     },
                     model_path: context.model_path
                   },
                   fn chunk ->
                     if chunk["is_final"] do
                       model_path = chunk["final_model_path"]
                       best_acc = chunk["best_val_accuracy"]
                       IO.puts("🎯 Training complete! Best accuracy: #{best_acc}")
                       IO.puts("💾 Model saved: #{model_path}")
                     else
                       epoch = chunk["epoch"]
                       train_loss = chunk["train_loss"]
                       val_loss = chunk["val_loss"]
                       train_acc = chunk["train_acc"]
                       val_acc = chunk["val_acc"]
                       lr = chunk["learning_rate"]

                       IO.puts("📈 Epoch #{epoch}/8:")
                       IO.puts("   Train: loss=#{train_loss}, acc=#{train_acc}")
                       IO.puts("   Val:   loss=#{val_loss}, acc=#{val_acc}")
                       IO.puts("   LR: #{lr}")
                     end
                   end,
                   pool: context.pool
                 )
      end)

    for epoch <- 1..8, do: assert(output =~ "📈 Epoch #{epoch}/8:\n   Train: loss=")
    assert length(Regex.scan(~r/^   LR: 0\.1$/m, output)) == 8
    assert [_, best] = Regex.run(~r/Best accuracy: (0\.\d+)/, output)
    assert String.to_float(best) > 0.93
    assert output =~ "💾 Model saved: #{context.model_path}\n"

    # Four fifths of these it has learned.
    assert share_right(context, %{model_path: context.model_path}, []) > 0.95
  end

  test "every chunk has the figures of an epoch, and of all its processes", context do
    args = %{
      training_config: %{epochs: 3, processes: 3, decay: 0.5},
      model_path: context.model_path
    }

    chunks =
      "distributed_training" |> Snakepit.stream!(args, pool: context.pool) |> Enum.to_list()

    assert {epochs, [final]} = Enum.split(chunks, 3)
    assert Enum.map(epochs, & &1["learning_rate"]) == [0.1, 0.05, 0.025]
    assert Enum.all?(epochs, &(length(&1["memory"]["processes_mb"]) == 3))
    assert Enum.all?(epochs, &(&1["gpu_memory"] == %{}))
    times = Enum.map(epochs, & &1["time_elapsed"])
    assert times == Enum.sort(times)
    assert %{"total_epochs" => 3, "best_val_acc" => best} = final
    assert best == epochs |> Enum.map(& &1["val_acc"]) |> Enum.max()
    assert children(os_pid(context.pool)) == []
  end

  test "a training that is halted leaves no process, and a checkpoint to use", context do
    test = self()
    worker = os_pid(context.pool)
    args = %{training_config: %{epochs: 10_000, processes: 3}, model_path: context.model_path}

    callback = fn chunk ->
      if chunk["epoch"] == 4 do
        send(test, {:children, Enum.map(children(worker), &OsProcess.watch/1)})
        :halt
      end
    end

    assert :ok =
             Snakepit.execute_stream("distributed_training", args, callback, pool: context.pool)

    assert_received {:children, [_, _, _] = children}
    OsProcess.await_ends(children)
    await_free(context.pool)
    assert os_pid(context.pool) == worker
    assert share_right(context, %{model_path: context.model_path}, []) > 0.85

    # It goes on from there.
    args = %{resume_from: context.model_path, model_path: context.model_path}
    [chunk] = "distributed_training" |> Snakepit.stream!(args, pool: context.pool) |> Enum.take(1)
    assert chunk["epoch"] > 1
    assert chunk["train_acc"] > 0.85
    eventually(fn -> children(worker) == [] end)
  end

  test "so does one whose caller is killed while an epoch goes on", context do
    worker = os_pid(context.pool)
    # Its only epoch takes minutes.
    config = %{epochs: 1, batch_size: 1, processes: 2, learning_rate: 1.0e-4}
    model = %{layers: 8, hidden_size: 1_024}
    args = %{model_config: model, training_config: config, model_path: context.model_path}
    opts = [pool: context.pool]
    test = self()

    training =
      Task.async(fn ->
        Snakepit.execute_stream("distributed_training", args, &send(test, &1), opts)
      end)

    eventually(fn -> length(children(worker)) == 2 end)
    children = Enum.map(children(worker), &OsProcess.watch/1)
    Task.shutdown(training, :brutal_kill)
    OsProcess.await_ends(children)
    await_free(context.pool)
    assert os_pid(context.pool) == worker
  end

  @tag :capture_log
  test "the processes go with a worker that is killed, and the checkpoint stays", context do
    test = self()
    worker = os_pid(context.pool)
    args = %{training_config: %{epochs: 10_000, processes: 2}, model_path: context.model_path}

    callback = fn chunk ->
      if chunk["epoch"] == 3 do
        send(test, {:children, Enum.map(children(worker), &OsProcess.watch/1)})
        OsProcess.signal(worker, "KILL")
      end
    end

    assert {:error, :worker_exited} =
             Snakepit.execute_stream("distributed_training", args, callback, pool: context.pool)

    assert_received {:children, [_, _] = children}
    OsProcess.await_ends(children)
    assert :ok = Snakepit.await_ready(context.pool, 20_000)
    assert share_right(context, %{model_path: context.model_path}, []) > 0.8
  end

  @tag :capture_log
  test "a process that is killed is an error that says so", context do
    worker = os_pid(context.pool)
    args = %{training_config: %{epochs: 10_000, processes: 2}, model_path: context.model_path}

    callback = fn
      %{"epoch" => 1} -> worker |> children() |> hd() |> OsProcess.signal("KILL")
      _chunk -> :cont
    end

    assert {:error, %Snakepit.Error{kind: :python, python_type: "RuntimeError"} = error} =
             Snakepit.execute_stream("distributed_training", args, callback, pool: context.pool)

    assert error.message =~ ~r/training process \d of 2 has ended with status -9/
    assert children(worker) == []
  end

  test "in a session a model is made, trained and asked", context do
    session_id = "ml_training_7"
    model_config = %{architecture: "mlp", layers: 1, hidden_size: 48}
    {features, labels} = Enum.unzip(context.digits)
    training_data = %{features: features, labels: labels, epochs: 5}
    opts = [pool: context.pool]

    {:ok, result} =
      Snakepit.execute_in_session(session_id, "initialize_model", model_config, opts)

    assert %{"initialized" => true, "hidden_size" => 48} = result

    output =
      capture_io(fn ->
        callback = fn chunk -> IO.puts("Epoch #{chunk["epoch"]}: loss=#{chunk["loss"]}") end

        assert :ok =
                 Snakepit.execute_in_session_stream(
                   session_id,
                   "train_model",
                   training_data,
                   callback,
                   opts
                 )
      end)

    losses = for [_, loss] <- Regex.scan(~r/Epoch \d: loss=(\S+)/, output), do: loss
    assert [first | _] = losses = Enum.map(losses, &String.to_float/1)
    assert length(losses) == 5
    assert List.last(losses) < first / 2
    assert share_right(context, %{}, session_id: session_id) > 0.93

    # Another session has no model.
    assert {:error, %Snakepit.Error{kind: :invalid_arguments, message: message}} =
             Snakepit.execute_in_session("other", "predict", %{features: [[1.0]]}, opts)

    assert message =~ "call 'initialize_model' in this session first"
  end

  test "what cannot be trained is refused with what can", context do
    for {args, message} <- [
          {%{model_config: %{architecture: "transformer"}}, "architectures are mlp and softmax"},
          {%{training_config: %{epochs: 0}}, "'epochs' must be positive"},
          {%{training_config: %{gpus: 2}}, "'gpus' is none of epochs"}
        ] do
      assert {:error, %Snakepit.Error{kind: :invalid_arguments} = error} =
               Snakepit.execute_stream("distributed_training", args, & &1, pool: context.pool)

      assert error.message =~ message
    end
  end

  test "the example trains, goes on from a checkpoint, and reads two digits" do
    {output, status} =
      System.cmd("mix", ["run", "--no-compile", "examples/distributed_training.exs"],
        stderr_to_stdout: true,
        env: [{"MIX_ENV", "test"}]
      )

    assert status == 0, output
    assert output =~ ~r/^epoch  5  train: loss 0\.\d+, 9\d\.\d %  validation: .* 4 x \d+ MB$/m
    assert output =~ "That is enough for now."
    assert output =~ ~r/^1\d epochs, at best 9\d\.\d % of the validation right\.$/m
    assert output =~ ~r/^The saved model reads a 0, \d+\.\d % sure\.$/m
    assert output =~ ~r/^Epoch 3: loss=0\.\d+$/m
    assert output =~ "The model of the session reads 0 and 1."
  end

  # Listed with the thread that has started them.
  defp children(os_pid) do
    for path <- Path.wildcard("/proc/#{os_pid}/task/*/children"),
        {:ok, text} <- [File.read(path)],
        child <- String.split(text),
        do: String.to_integer(child)
  end
end
