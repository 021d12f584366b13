# The live page with something to see: streams of which one has a slow consumer, calls, jobs, sessions,
# and errors now and then. Run it with
#
#     make live-page
#
# and open the address it prints. A stream that is cancelled there begins again after a while.

defmodule Shop do
  @moduledoc """
  An application at work.
  """

  @pool Shop.Python

  def customers(turn \\ 1) do
    Process.sleep(20)
    Snakepit.execute("predict", %{features: [turn]}, pool: @pool)
    if rem(turn, 500) == 0, do: Snakepit.execute("charge_card", %{card: "4111"}, pool: @pool)
    if rem(turn, 250) == 0, do: visit(div(turn, 250))
    customers(turn + 1)
  end

  def stream(command, callback) do
    Snakepit.execute_stream(command, %{}, callback, pool: @pool, window: 16, timeout: :infinity)
    Process.sleep(10_000)
    stream(command, callback)
  end

  def reports do
    {:ok, job} = Snakepit.Jobs.submit("nightly_report", %{steps: 250}, pool: @pool)
    Snakepit.Jobs.result(job, timeout: :infinity)
    reports()
  end

  defp visit(number) do
    opts = [pool: @pool]
    Snakepit.execute_in_session("visitor-#{number}", "remember", %{key: "basket"}, opts)
  end
end

python = [path: [__DIR__], modules: ["shop_handlers"]]
task = fn id, run -> Supervisor.child_spec({Task, run}, id: id, restart: :permanent) end

{:ok, _supervisor} =
  Supervisor.start_link(
    [
      {Snakepit.Pool, name: Shop.Python, pool_size: 2, python: python},
      task.(:customers, fn -> Shop.customers() end),
      task.(:reports, fn -> Shop.reports() end),
      task.(:training, fn -> Shop.stream("train_model", fn _chunk -> :ok end) end),
      task.(:log, fn -> Shop.stream("tail_log", fn _chunk -> :ok end) end),
      # Slower than its producer.
      task.(:index, fn -> Shop.stream("embed_documents", fn _chunk -> Process.sleep(200) end) end),
      {Snakepit.Endpoint, port: 4040}
    ],
    strategy: :one_for_one
  )

IO.gets("Press Enter to end.\n")
