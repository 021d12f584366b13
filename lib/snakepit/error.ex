defmodule Snakepit.Error do
  @moduledoc """
  What goes wrong, in two forms.

  Conditions of the infrastructure are plain atoms, so that they can be matched
  in a `case` as they are:

  | reason | meaning |
  |---|---|
  | `:worker_timeout` | the deadline of the call passed |
  | `:chunk_timeout` | no chunk arrived within `:chunk_timeout` |
  | `:queue_timeout` | no worker slot became free within `:queue_timeout`; nothing ran |
  | `:pool_saturated` | the queue of the pool is full, or it has `:max_sessions`; nothing ran |
  | `:grpc_unavailable` | no worker can be reached |
  | `:worker_exited` | the worker's process ended during the call |
  | `:streaming_not_supported` | the adapter of the pool cannot stream |
  | `:cancelled` | the call was cancelled |
  | `:session_not_found` | there is no such session on the worker, or its loss was told before |
  | `:session_lost` | the worker that kept the session is gone; told once, see `Snakepit.Session` |
  | `:worker_busy` | the worker takes no more calls at the moment |
  | `:draining` | the pool is shutting down |
  | `:pool_not_found` | no pool runs under this name |
  | `:not_found` | there is no such job, see `Snakepit.Jobs` |
  | `:expired` | the job has finished, and is kept no longer |
  | `:job_finished` | the job has ended already, and cannot be canceled |
  | `:too_many_jobs` | as many jobs wait as may; nothing ran |

  What carries data is this exception struct. Its `kind` is one of

    * `:python` - the handler raised: `python_type`, `message` and `traceback` say what
    * `:unknown_command` - no handler is registered under the name
    * `:invalid_arguments` - arguments are missing, unknown, or of the wrong type
    * `:encoding` - a value cannot be sent; the message names its path
    * `:too_large` - a message is over `max_message_size`
    * `:protocol` - the peer does not speak the protocol
    * `:worker_crashed` - a worker could not be started; the message has its last lines

  `message/1` turns either form into a sentence. `Snakepit.stream!/3` and other
  raising functions raise this exception for both forms; an atom is then its `kind`.
  """

  @typedoc "The closed set of infrastructure conditions."
  @type condition ::
          :worker_timeout
          | :chunk_timeout
          | :queue_timeout
          | :pool_saturated
          | :grpc_unavailable
          | :worker_exited
          | :streaming_not_supported
          | :cancelled
          | :session_not_found
          | :session_lost
          | :worker_busy
          | :draining
          | :pool_not_found
          | :not_found
          | :expired
          | :job_finished
          | :too_many_jobs

  @typedoc "Kinds of errors that carry data."
  @type kind ::
          :python
          | :unknown_command
          | :invalid_arguments
          | :encoding
          | :too_large
          | :protocol
          | :worker_crashed

  @type t :: %__MODULE__{
          kind: kind() | condition(),
          message: String.t(),
          python_type: String.t() | nil,
          traceback: String.t() | nil,
          command: String.t() | nil,
          worker_id: String.t() | nil,
          request_id: String.t() | nil,
          retryable?: boolean()
        }

  @typedoc "What stands behind `:error` in every result."
  @type reason :: condition() | t()

  defexception [
    :kind,
    :python_type,
    :traceback,
    :command,
    :worker_id,
    :request_id,
    message: "",
    retryable?: false
  ]

  @sentences %{
    worker_timeout:
      "The call did not finish before its deadline. Give it more time with :timeout, or find out what the handler is doing.",
    chunk_timeout:
      "The stream was silent for longer than :chunk_timeout. Raise it, or let the handler yield more often.",
    queue_timeout:
      "No worker slot became free within :queue_timeout, and nothing ran. Raise :pool_size, :max_concurrent_streams or :queue_timeout.",
    pool_saturated:
      "Every worker slot is taken and the queue is full, or there are as many sessions as may be; nothing ran. Try again later, or raise :pool_size, :queue_limit or :max_sessions.",
    grpc_unavailable:
      "No worker can be reached. Look for the workers' last lines in the log, and check the installation with mix snakepit.doctor.",
    worker_exited:
      "The worker's Python process ended during the call. It is being replaced; the log has its last lines. Repeat the call if it is safe to run twice.",
    streaming_not_supported:
      "The adapter of this pool cannot stream. Use Snakepit.Adapters.GRPCPython.",
    cancelled: "The call was cancelled before it finished.",
    session_not_found:
      "The worker knows no session of this name, or its state was lost: begin it again with Snakepit.Session.create/2. A handler that uses ctx.session needs one: call it with Snakepit.execute_in_session.",
    session_lost:
      "The worker that kept this session is gone, and its state with it. Begin the session again with Snakepit.Session.create/2.",
    worker_busy:
      "The worker takes no more calls at the moment. Try again, or raise :max_concurrent_streams.",
    draining: "The pool is shutting down and takes no new calls.",
    pool_not_found:
      "No pool runs under this name. Start one with {Snakepit.Pool, name: ...} in a supervision tree, or configure :snakepit.",
    not_found: "There is no job of this id. It was never submitted here, or it was deleted.",
    expired:
      "The job has finished and is kept no longer. Read results earlier, or raise :retain_count, :retain_bytes or :retain_ms.",
    job_finished: "The job has ended already, and cannot be canceled.",
    too_many_jobs:
      "As many jobs wait as may, and nothing ran. Try again later, or raise :max_queued_jobs."
  }
  @conditions Map.keys(@sentences)
  @kinds [:python, :unknown_command, :invalid_arguments] ++
           [:encoding, :too_large, :protocol, :worker_crashed]
  @retryable [
    :queue_timeout,
    :pool_saturated,
    :grpc_unavailable,
    :worker_exited,
    :worker_busy,
    :too_many_jobs
  ]

  @doc """
  Every condition that can stand as a plain atom behind `:error`.
  """
  @spec conditions() :: [condition()]
  def conditions, do: @conditions

  @doc """
  Every kind of error that carries data.
  """
  @spec kinds() :: [kind()]
  def kinds, do: @kinds

  @doc """
  The reason as a sentence that says what to do.

      iex> Snakepit.Error.message(:draining)
      "The pool is shutting down and takes no new calls."
  """
  @impl true
  @spec message(reason()) :: String.t()
  def message(condition) when condition in @conditions, do: Map.fetch!(@sentences, condition)

  def message(%__MODULE__{kind: :python} = error) do
    "#{subject(error)} raised #{error.python_type || "an exception"}: #{error.message}" <>
      traceback(error.traceback)
  end

  def message(%__MODULE__{message: text}) when text != "", do: text

  def message(%__MODULE__{kind: kind}) when kind in @conditions, do: message(kind)

  def message(%__MODULE__{} = error),
    do: "#{subject(error)} failed (#{inspect(error.kind)})."

  @doc """
  Makes the exception from a reason or from its fields. Used by `raise/2`.
  """
  @impl true
  @spec exception(reason() | keyword()) :: t()
  def exception(%__MODULE__{} = error), do: error

  def exception(condition) when condition in @conditions do
    %__MODULE__{
      kind: condition,
      message: message(condition),
      retryable?: condition in @retryable
    }
  end

  def exception(fields) when is_list(fields), do: struct!(__MODULE__, fields)

  @doc false
  # The error of a call says which call, whoever made it.
  @spec about(t(), Snakepit.Request.t(), String.t() | nil) :: t()
  def about(%__MODULE__{} = error, request, worker_id) do
    %{
      error
      | command: error.command || request.command,
        request_id: error.request_id || request.request_id,
        worker_id: error.worker_id || worker_id
    }
  end

  defp subject(%{command: nil}), do: "The call"
  defp subject(%{command: command}), do: "The command #{inspect(command)}"

  defp traceback(text) when text in [nil, ""], do: ""
  defp traceback(text), do: "\n\n" <> text
end
