defmodule Snakepit.Session do
  @moduledoc """
  State that Python keeps between calls.

      iex> {:ok, _} = Snakepit.execute_in_session("user-7", "load_model", %{name: "small"})
      iex> Snakepit.execute_in_session("user-7", "predict", %{text: "hello"})
      {:ok, %{"label" => "short", "model" => "small"}}

  All calls of a session run on the same worker, and their handlers see the same dict as
  `ctx.session`. A session begins with `create/2` or with its first call, on the worker with the
  fewest sessions. It ends with `delete/2`, or when it was not used for the pool's `:session_ttl`; a
  session in which a call runs is in use. At its end the functions registered in Python
  with `@on_session_end` get its id and its dict. No more than `:max_sessions` live at a time: a
  call that would begin one more gets `:pool_saturated`.

  ## When the worker of a session ends

  The state is gone with the worker's process, and no call ever finds an empty session instead. The
  next call in the session gets `{:error, :session_lost}`, once; any further one gets
  `{:error, :session_not_found}`, until somebody says that the session shall begin anew:

      case Snakepit.execute_in_session(id, "predict", args) do
        {:error, :session_lost} ->
          {:ok, _session} = Snakepit.Session.create(id)
          {:ok, _} = Snakepit.execute_in_session(id, "load_model", %{name: "small"})
          Snakepit.execute_in_session(id, "predict", args)

        result ->
          result
      end

  `delete/2` has the same effect: the next call begins the session. A call that runs when the
  worker ends gets `:worker_exited` like any other.

  ## When the worker of a session is busy

  The pool's option `:session_affinity` says what happens:

    * `:strict_queue` - the call waits for a slot of that worker, and blocks nobody who waits for
      another
    * `:strict_fail_fast` - the call gets `:worker_busy` at once
    * `:hint` - the call runs on another worker, where `ctx.session` is another dict. So handlers must
      be able to do without what they kept, as with a cache; in return a session is never lost, but
      goes on elsewhere when its worker ends

  Ended by `:recycle` (see `Snakepit.Config`), a worker first waits for its sessions.
  """

  alias Snakepit.{Error, Pool, Request}
  alias Snakepit.Pool.{SessionKeeper, Sessions, SessionTable, Shared}

  @enforce_keys [:id, :pool, :worker_id, :created_at, :last_used_at]
  defstruct [:id, :pool, :worker_id, :created_at, :last_used_at]

  @type t :: %__MODULE__{
          id: String.t(),
          pool: atom(),
          worker_id: String.t(),
          created_at: DateTime.t(),
          last_used_at: DateTime.t()
        }

  @type opts :: [pool: atom(), timeout: timeout()]

  @doc """
  Begins a session with an id that is made up.
  """
  @spec create() :: {:ok, t()} | {:error, Error.reason()}
  def create, do: create([])

  @doc """
  Begins a session, or returns the one that lives under this id. Instead of the id, options may be
  given.

  Options are `:pool` and, for the case that no worker is ready, `:timeout`.

      iex> {:ok, session} = Snakepit.Session.create("user-8")
      iex> session.worker_id
      "default-1"
  """
  @spec create(String.t() | opts(), opts()) :: {:ok, t()} | {:error, Error.reason()}
  def create(id_or_opts, opts \\ [])

  def create(opts, []) when is_list(opts), do: create(random_id(), opts)

  def create(id, opts) do
    opts = opts |> Keyword.put_new(:timeout, 30_000) |> Request.in_session(id)

    with {:ok, request} <- Request.new("", %{}, opts),
         {:ok, pool} <- Pool.fetch_or_start(request.pool),
         {:ok, _worker, _incarnation} <- Sessions.place(pool, :any, request, true),
         do: get(id, pool: request.pool)
  end

  @doc """
  A session that lives. `:session_lost` or `:session_not_found` as for a call, except that asking
  changes nothing.

      iex> Snakepit.Session.get("nobody")
      {:error, :session_not_found}
  """
  @spec get(String.t(), opts()) :: {:ok, t()} | {:error, Error.reason()}
  def get(id, opts \\ []) do
    with {:ok, pool} <- fetch(opts) do
      case SessionTable.lookup(pool.sessions, id) do
        {^id, worker, incarnation, _used, _created, :live} = row ->
          if Shared.incarnation(pool, worker) == incarnation,
            do: {:ok, session(pool, row)},
            else: {:error, :session_lost}

        {^id, _worker, _incarnation, _used, _created, :lost} ->
          {:error, :session_lost}

        _none_or_told ->
          {:error, :session_not_found}
      end
    end
  end

  @doc """
  Ends a session. Its state is dropped when the calls that run in it are over.

      iex> {:ok, _session} = Snakepit.Session.create("user-9")
      iex> Snakepit.Session.delete("user-9")
      :ok
      iex> Snakepit.Session.get("user-9")
      {:error, :session_not_found}
  """
  @spec delete(String.t(), opts()) :: :ok | {:error, Error.reason()}
  def delete(id, opts \\ []) do
    with {:ok, pool} <- fetch(opts), do: SessionKeeper.delete(pool.sessions.keeper, id)
  end

  @doc """
  The sessions that live, in no order.

      iex> {:ok, _session} = Snakepit.Session.create("user-10")
      iex> "user-10" in Enum.map(Snakepit.Session.list(), & &1.id)
      true
  """
  @spec list(opts()) :: [t()] | {:error, Error.reason()}
  def list(opts \\ []) do
    with {:ok, pool} <- fetch(opts),
         do: for(row <- SessionTable.live(pool.sessions), do: session(pool, row))
  end

  defp fetch(opts), do: Shared.fetch(Keyword.get(opts, :pool, :default))

  defp session(pool, {id, worker, _incarnation, used, created, :live}) do
    idle = Request.now() - used

    %__MODULE__{
      id: id,
      pool: pool.config.name,
      worker_id: Shared.worker_id(pool.config, worker),
      created_at: DateTime.from_unix!(created, :millisecond),
      last_used_at: DateTime.add(DateTime.utc_now(), -idle, :millisecond)
    }
  end

  defp random_id, do: Base.url_encode64(:crypto.strong_rand_bytes(12))
end
