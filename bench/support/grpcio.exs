defmodule Bench.Grpcio do
  @moduledoc false
  # Python's own grpcio, client and server each in a process of its own. Both come as threads and
  # as asyncio; every question is put to the pair that answers it best on this machine.

  alias Bench.Questions

  @server "bench/grpcio_server.py"
  @client "bench/grpcio_client.py"
  @flavours [:sync, :aio]

  @doc """
  Starts both servers. They end when their ports are closed, so also with this VM.
  """
  def start!(python, directory) do
    for flavour <- @flavours, into: %{} do
      target = "unix:" <> Path.join(directory, "#{flavour}.sock")
      {flavour, %{target: target, port: serve!(python, target, flavour)}}
    end
  end

  def stop(servers) do
    for {_flavour, %{port: port}} <- servers, do: Port.close(port)
  end

  @doc """
  The fastest pair for each question, by the best of `tries`.
  """
  def choose(questions, servers, python, tries) do
    for question <- questions, into: %{} do
      pairs = for server <- @flavours, client <- @flavours, do: {server, client}

      best =
        Enum.max_by(pairs, fn pair ->
          1..tries
          |> Enum.map(fn _ -> Questions.score(question, ask(servers, python, pair, question)) end)
          |> Enum.max()
        end)

      {question.key, best}
    end
  end

  @doc """
  Answers a question with a pair of server and client.
  """
  def ask(servers, python, {server, client}, question) do
    target = servers[server].target

    args = [
      @client,
      target,
      client,
      question.mode,
      question.slow,
      question.size,
      question.callers
    ]

    {output, 0} = System.cmd(python, Enum.map(args, &to_string/1))
    JSON.decode!(output)
  end

  defp serve!(python, target, flavour) do
    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :exit_status,
        line: 1_000,
        args: [@server, target, to_string(flavour)]
      ])

    receive do
      {^port, {:data, {:eol, "ready"}}} -> port
      {^port, {:exit_status, status}} -> raise "#{@server} ended with status #{status}"
    after
      10_000 -> raise "#{@server} was not ready after 10 s"
    end
  end
end
