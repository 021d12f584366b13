defmodule Snakepit.Status.Jobs do
  @moduledoc false
  # The jobs of all services in short. There may be very many: those that are not shown are counted
  # where they are.

  alias Snakepit.Jobs.{Board, Job}

  @latest 20

  @type t :: %{counts: %{String.t() => non_neg_integer()}, latest: [map()]}

  @spec snapshot() :: t()
  def snapshot do
    boards = Board.all()

    %{
      counts:
        Map.new(Job.states(), fn state ->
          {state, boards |> Enum.map(&count(&1, state)) |> Enum.sum()}
        end),
      latest:
        boards
        |> Enum.flat_map(&latest/1)
        |> Enum.sort_by(& &1["submitted_at"], :desc)
        |> Enum.take(@latest)
    }
  end

  defp count(board, state), do: Board.count(board, state)

  defp latest(board) do
    for id <- Board.latest(board, @latest), {:ok, job} <- [Board.job(board, id)] do
      job |> Job.status() |> Map.put("jobs", board.config.name)
    end
  end
end
