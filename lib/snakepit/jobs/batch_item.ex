defmodule Snakepit.Jobs.BatchItem do
  @moduledoc false
  # One element of a batch, checked, and what is told of it.

  alias Snakepit.Error
  alias Snakepit.Jobs.Options

  @keys %{
    "command" => :command,
    "args" => :args,
    "client_request_id" => :client_request_id,
    "timeout" => :timeout,
    "session_id" => :session_id,
    "idempotent" => :idempotent
  }

  @enforce_keys [:number]
  # What it is called with is nobody else's.
  @derive {Inspect, except: [:args]}
  defstruct [:number, :client_request_id, :command, :args, :options]

  @type t :: %__MODULE__{}

  @typedoc "What stands under `\"result\"`."
  @type result ::
          {String.t()} | {String.t(), map()} | {String.t(), String.t(), String.t(), boolean()}

  @doc """
  The element as an item, or what is wrong with it.
  """
  @spec new(term(), non_neg_integer(), map()) :: {:ok, t()} | {:error, t(), Error.t()}
  def new(given, number, batch) when is_map(given) and not is_struct(given) do
    given = Map.new(given, fn {key, value} -> {Map.get(@keys, key, key), value} end)
    checked = Options.validate!(:item, given)
    if checked.command == nil, do: raise(ArgumentError, "batch item: option :command is missing")

    {:ok,
     %__MODULE__{
       number: number,
       client_request_id: checked.client_request_id,
       command: checked.command,
       args: checked.args,
       options: %{
         pool: batch.pool,
         timeout: checked.timeout || batch.timeout,
         session_id: checked.session_id,
         metadata: batch.metadata,
         idempotent:
           if(checked.idempotent == nil, do: batch.idempotent, else: checked.idempotent),
         stream: :auto
       }
     }}
  rescue
    error in ArgumentError -> refuse(given, number, Exception.message(error))
  end

  def new(given, number, _batch),
    do: refuse(%{}, number, "batch item: expected a map, got: #{inspect(given, limit: 5)}")

  defp refuse(given, number, message) do
    id = Map.get(given, :client_request_id, given["client_request_id"])
    item = %__MODULE__{number: number, client_request_id: if(is_binary(id), do: id)}
    {:error, item, %Error{kind: :invalid_arguments, message: message}}
  end

  @spec result(t(), String.t() | nil, result()) :: map()
  def result(%__MODULE__{client_request_id: client_request_id}, job_id, result) do
    %{"client_request_id" => client_request_id, "job_id" => job_id, "result" => result}
  end

  @spec final({:ok, map()} | {:error, Error.reason()}) :: result()
  def final({:ok, value}), do: {"completed", value}
  def final({:error, reason}), do: error(reason)

  @spec error(Error.reason()) :: result()
  def error(reason) do
    error = Error.exception(reason)
    {"error", to_string(error.kind), Error.message(error), error.retryable?}
  end
end
