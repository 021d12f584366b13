defmodule Snakepit.Jobs.Feed do
  @moduledoc false
  # What is read piece by piece until it is over - updates, chunks of rows, results of a batch - for a
  # callback or as an enumerable. A source opens, gives what comes next, and is closed.

  alias Snakepit.{Error, Progress}

  @callback open(subject :: term(), options :: map()) ::
              {:ok, struct()} | {:error, Error.reason()}
  @callback next(struct()) :: {[map()], struct()} | :done | {:error, Error.reason()}
  @callback close(struct()) :: :ok

  @doc """
  Calls `callback` with each piece, until the end or until it says `:halt`.
  """
  @spec each(module(), term(), map(), (map() -> term())) :: :ok | {:error, Error.reason()}
  def each(source, subject, options, callback) when is_function(callback, 1) do
    with {:ok, state} <- source.open(subject, options),
         do: Progress.during(fn -> run(source, state, callback) end)
  end

  def each(_source, _subject, _options, callback) do
    raise ArgumentError,
          "expected :stream or a function of one argument, got: #{inspect(callback)}"
  end

  @doc """
  The pieces as a lazy enumerable, which raises `Snakepit.Error` where `each/4` returns it.
  """
  @spec stream(module(), term(), map()) :: Enumerable.t()
  def stream(source, subject, options) do
    Stream.resource(
      fn -> ok!(source.open(subject, options)) end,
      fn state ->
        case source.next(state) do
          {pieces, state} when is_list(pieces) -> {pieces, state}
          :done -> {:halt, state}
          {:error, reason} -> raise Error, reason
        end
      end,
      &source.close/1
    )
  end

  # A source may change while it is read, so the newest is the one to be closed.
  defp run(source, state, callback) do
    case guarded(source, state, fn -> source.next(state) end) do
      {pieces, state} when is_list(pieces) ->
        give = fn -> Enum.any?(pieces, &(callback.(&1) == :halt)) end

        if guarded(source, state, give),
          do: source.close(state),
          else: run(source, state, callback)

      :done ->
        source.close(state)

      {:error, reason} ->
        source.close(state)
        {:error, reason}
    end
  end

  defp guarded(source, state, fun) do
    fun.()
  catch
    kind, reason ->
      source.close(state)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp ok!({:ok, state}), do: state
  defp ok!({:error, reason}), do: raise(Error, reason)
end
