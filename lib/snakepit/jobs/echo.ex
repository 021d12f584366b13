defmodule Snakepit.Jobs.Echo do
  @moduledoc false
  # Items of a batch that have the id of another one: they are refused, or get what that one got.

  alias Snakepit.Error
  alias Snakepit.Jobs.BatchItem

  @enforce_keys [:policy, :remember, :remember_bytes]
  defstruct [
    :policy,
    :remember,
    :remember_bytes,
    running: %{},
    done: %{},
    order: :queue.new(),
    bytes: 0,
    waiting: 0
  ]

  @type t :: %__MODULE__{}

  @spec new(map()) :: t()
  def new(options) do
    %__MODULE__{
      policy: options.on_duplicate,
      remember: options.remember,
      remember_bytes: options.remember_bytes
    }
  end

  @doc """
  Has there been another one? A new item is remembered as running.
  """
  @spec meet(t(), BatchItem.t()) ::
          {:new, t()} | {:waits, t()} | {:answered, String.t() | nil, BatchItem.result()}
  def meet(%__MODULE__{} = echo, %BatchItem{client_request_id: nil}), do: {:new, echo}

  def meet(%__MODULE__{policy: policy} = echo, %BatchItem{client_request_id: id} = item) do
    case {echo, policy} do
      {%{done: %{^id => {job_id, result}}}, :replay} ->
        {:answered, job_id, result}

      {%{running: %{^id => waiting}}, :replay} ->
        running = Map.put(echo.running, id, [item | waiting])
        {:waits, %{echo | running: running, waiting: echo.waiting + 1}}

      {%{running: running, done: done}, :refuse}
      when is_map_key(running, id) or is_map_key(done, id) ->
        {:answered, nil, BatchItem.error(duplicate(id))}

      _new ->
        {:new, %{echo | running: Map.put(echo.running, id, [])}}
    end
  end

  @doc """
  How many items wait for the result of another one.
  """
  @spec waiting(t()) :: non_neg_integer()
  def waiting(%__MODULE__{waiting: waiting}), do: waiting

  @doc """
  The item has its last result. Returns those that waited for it, in their order.
  """
  @spec settle(t(), BatchItem.t(), String.t() | nil, BatchItem.result()) ::
          {[BatchItem.t()], t()}
  def settle(%__MODULE__{} = echo, %BatchItem{client_request_id: id}, job_id, result)
      when is_map_key(echo.running, id) do
    {waiting, running} = Map.pop!(echo.running, id)
    echo = %{echo | running: running, waiting: echo.waiting - length(waiting)}
    kept = if echo.policy == :replay, do: {job_id, result}, else: :refused
    {Enum.reverse(waiting), remember(echo, id, kept)}
  end

  def settle(echo, _item, _job_id, _result), do: {[], echo}

  defp remember(echo, id, kept) do
    bytes = :erlang.external_size({id, kept})

    forget(%{
      echo
      | done: Map.put(echo.done, id, kept),
        order: :queue.in({id, bytes}, echo.order),
        bytes: echo.bytes + bytes
    })
  end

  defp forget(%{done: done} = echo)
       when map_size(done) > echo.remember or echo.bytes > echo.remember_bytes do
    {{:value, {oldest, bytes}}, order} = :queue.out(echo.order)
    forget(%{echo | done: Map.delete(done, oldest), order: order, bytes: echo.bytes - bytes})
  end

  defp forget(echo), do: echo

  defp duplicate(id) do
    %Error{
      kind: :invalid_arguments,
      message:
        "The client_request_id #{inspect(id)} was used before in this batch. Give every item one of " <>
          "its own, or take on_duplicate: :replay."
    }
  end
end
