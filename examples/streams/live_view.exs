# The pattern of a LiveView that shows results as they come and starts over with every key, without
# Phoenix: what is in the module SearchLive is what a LiveView would have.
#
#     mix run examples/streams/live_view.exs

Logger.configure(level: :warning)

defmodule SearchLive do
  @moduledoc """
  Searches while somebody types. Each key cancels the search before it, in Python too, and a page
  that is left ends its search with its process: neither needs a clean-up here.
  """

  @shown 3

  def mount(pool), do: %{pool: pool, query: "", stream: nil, results: [], total: nil}

  def handle_event("type", %{"query" => query}, assigns) do
    if assigns.stream, do: Snakepit.cancel(assigns.stream)

    {:ok, stream} =
      Snakepit.start_stream("search", %{query: query}, pool: assigns.pool, window: 16)

    %{assigns | query: query, stream: stream, results: [], total: nil}
  end

  # No message of a cancelled search arrives, so none has to be told from those of the present one.
  def handle_info({:snakepit, _ref, {:chunk, %{"is_final" => true} = final}}, assigns),
    do: %{assigns | total: "#{final["matches"]} lines in #{final["files"]} files"}

  def handle_info({:snakepit, _ref, {:chunk, line}}, assigns) do
    # What a page does not show it need not keep, but it goes on counting.
    Snakepit.ack(assigns.stream)
    %{assigns | results: Enum.take(assigns.results ++ [line], @shown)}
  end

  def handle_info({:snakepit, _ref, :done}, assigns), do: %{assigns | stream: nil}

  def handle_info({:snakepit, _ref, {:error, reason}}, assigns),
    do: %{assigns | stream: nil, total: "failed: #{Snakepit.Error.message(reason)}"}

  def render(assigns) do
    lines =
      for line <- assigns.results, do: "  #{line["file"]}:#{line["line"]}  #{line["text"]}\n"

    "search: #{assigns.query}\n#{lines}  #{assigns.total || "searching"}\n"
  end
end

defmodule Page do
  @moduledoc """
  The little of a LiveView's process that the example needs.
  """

  def open(pool), do: spawn_link(fn -> loop(SearchLive.mount(pool)) end)
  def type(page, query), do: send(page, {:event, "type", %{"query" => query}})

  # What the page shows once its search is through.
  def shown(page) do
    ref = make_ref()
    send(page, {:render, self(), ref})

    receive do
      {^ref, text, true} -> text
      {^ref, _text, false} -> shown(page)
    end
  end

  defp loop(assigns) do
    receive do
      {:event, name, params} -> loop(SearchLive.handle_event(name, params, assigns))
      {:render, from, ref} -> loop(answer(from, ref, assigns))
      message -> loop(SearchLive.handle_info(message, assigns))
    end
  end

  defp answer(from, ref, assigns) do
    send(from, {ref, SearchLive.render(assigns), assigns.stream == nil})
    assigns
  end
end

python = [path: ["examples/streams"], modules: ["stream_examples"]]
{:ok, _pool} = Snakepit.Pool.start_link(name: Search, pool_size: 1, python: python)

page = Page.open(Search)

for query <- ["y", "yi", "yie", "yield", "yield from", "yield from iter"] do
  Page.type(page, query)
  Process.sleep(30)
end

IO.puts(Page.shown(page))
%{requests: requests, busy_slots: busy} = Snakepit.get_stats(Search)
IO.puts("#{requests} searches were started, #{busy} still run.")

# A page that is left in the middle of a search.
Page.type(page, "e")
Process.unlink(page)
Process.exit(page, :kill)
Process.sleep(100)
IO.puts("The page is gone, and #{Snakepit.get_stats(Search).busy_slots} searches run.")
