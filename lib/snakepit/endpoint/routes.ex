defmodule Snakepit.Endpoint.Routes do
  @moduledoc false
  # Which path is answered with what.

  alias Snakepit.Endpoint.{Guard, Handler, Page, State}
  alias Snakepit.Metrics
  alias Snakepit.Pool.Streams

  @json "application/json; charset=utf-8"

  @doc """
  The response to a request that may be asked.
  """
  @spec answer(Handler.request()) :: Handler.response()
  def answer(%{path: path} = request) do
    case route(path) do
      {:read, read} -> allow(request, ["GET", "HEAD"], fn -> read.(request) end)
      {:change, change} -> allow(request, ["POST"], fn -> authorized(request, change) end)
      nil -> sentence(404, "There is nothing here. The live page is at /.")
    end
  end

  @doc """
  A response of one sentence.
  """
  @spec sentence(pos_integer(), String.t()) :: Handler.response()
  def sentence(status, text), do: {status, "text/plain; charset=utf-8", [text, "\n"], []}

  defp route([]), do: asset("page.html")

  defp route([name]) when name in ~w(page.css page.js format.js table.js icon.svg),
    do: asset(name)

  defp route(["state.json"]), do: {:read, &state/1}
  defp route(["metrics"]), do: {:read, &metrics/1}
  defp route(["streams", pool, id, "cancel"]), do: {:change, fn -> cancel(pool, id) end}
  defp route(_other), do: nil

  defp asset(name) do
    {type, text} = Page.asset(name)
    {:read, fn _request -> {200, type, text, []} end}
  end

  defp allow(%{method: method}, methods, answer) do
    if method in methods do
      answer.()
    else
      allowed = Enum.join(methods, ", ")
      {status, type, text, []} = sentence(405, "Only #{allowed} here.")
      {status, type, text, [{"allow", allowed}]}
    end
  end

  defp authorized(request, change) do
    with {:error, status, text} <- Guard.token(request),
         do: sentence(status, text),
         else: (:ok -> change.())
  end

  defp state(request), do: {200, @json, State.json(request.context.interval), []}

  defp metrics(_request),
    do: {200, "text/plain; version=0.0.4; charset=utf-8", Metrics.prometheus(), []}

  # No name from outside becomes an atom.
  defp cancel(pool, id) do
    with {id, ""} <- Integer.parse(id),
         true <- Enum.any?(State.pools(pool), &(Streams.cancel(&1, id) == :ok)) do
      {200, @json, JSON.encode_to_iodata!(%{"cancelled" => true}), []}
    else
      _gone -> sentence(404, "This stream has ended.")
    end
  end
end
