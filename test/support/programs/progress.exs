# A stream with a bar, for a test that looks at it in a terminal. The argument is its device.

[device] = System.argv()
python = [path: ["test/support/python"], modules: ["stream_handlers"]]

{:ok, _pool} =
  Supervisor.start_link([{Snakepit.Pool, pool_size: 1, python: python}], strategy: :one_for_one)

options = [total: 20, label: "train", unit: "epochs", device: String.to_existing_atom(device)]

:ok =
  Snakepit.execute_stream(
    "paced",
    %{n: 20, interval: 60},
    Snakepit.Progress.bar(
      fn
        %{"n" => 10} -> Snakepit.Progress.puts("halfway", options[:device])
        _chunk -> :ok
      end,
      options
    )
  )

IO.puts("the end")
