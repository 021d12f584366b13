defmodule Snakepit.Jobs.Server do
  @moduledoc false
  # Decides what becomes of every job: when it starts, and the one state in which it ends. It
  # writes the board; the work itself is done by a runner for each job.

  use GenServer

  alias Snakepit.Error
  alias Snakepit.Jobs.{Board, Events, Job, Parties, Results, Retention, Runner, Schedule}
  alias Snakepit.Pool.Succession

  @predecessor_timeout 1_000

  defstruct [
    :board,
    :schedule,
    :retention,
    :retention_timer,
    parties: %Parties{},
    numbers: 0
  ]

  @typedoc "What is to be run, for whom."
  @type order :: %{
          optional(:id) => String.t(),
          optional(:repeated) => true,
          command: String.t(),
          args: map(),
          options: map(),
          owner: nil | pid(),
          notify: nil | reference()
        }

  @spec start_link(map()) :: GenServer.on_start()
  def start_link(config), do: GenServer.start_link(__MODULE__, config)

  @doc """
  Takes a job in. An `owner` gets it deleted with its own end, and deletes it otherwise; `notify`, an
  alias, gets `{notify, {:finished, id}}`.
  """
  @spec submit(pid(), order()) :: {:ok, String.t()} | {:error, Error.reason()}
  def submit(server, order), do: call(server, {:submit, order})

  @spec cancel(pid(), String.t()) :: :ok | {:error, Error.reason()}
  def cancel(server, id), do: call(server, {:cancel, id})

  @spec delete(pid(), String.t()) :: :ok | {:error, Error.reason()}
  def delete(server, id), do: call(server, {:delete, id})

  @doc """
  The work of a job has begun: it has a worker.
  """
  @spec started(pid(), String.t()) :: :ok
  def started(server, id), do: GenServer.cast(server, {:started, id})

  @doc """
  What the handler says of its progress.
  """
  @spec progress(pid(), String.t(), number(), String.t() | nil) :: :ok
  def progress(server, id, fraction, message),
    do: GenServer.cast(server, {:progress, id, fraction, message})

  defp call(server, request) do
    GenServer.call(server, request, :infinity)
  catch
    :exit, _gone -> {:error, :draining}
  end

  @impl true
  def init(config) do
    Process.flag(:trap_exit, true)
    Succession.claim({__MODULE__, config.name}, config.shutdown_timeout + @predecessor_timeout)
    board = Board.new(config)
    Board.publish(board)
    schedule = Schedule.new(config)
    {:ok, %__MODULE__{board: board, schedule: schedule, retention: Retention.new(config)}}
  end

  @impl true
  def handle_call({:submit, order}, _from, state) do
    if Schedule.full?(state.schedule) do
      {:reply, {:error, :too_many_jobs},
       %{state | parties: Parties.want_room(state.parties, order.notify)}}
    else
      {id, state} = admit(state, order)
      {:reply, {:ok, id}, start_next(state)}
    end
  end

  def handle_call({:cancel, id}, _from, state) do
    case Board.job(state.board, id) do
      {:ok, %Job{state: "canceled"}} ->
        {:reply, :ok, state}

      {:ok, job} ->
        if Job.final?(job),
          do: {:reply, {:error, :job_finished}, state},
          else: {:reply, :ok, state |> cancel_job(id) |> tell_of_room()}

      {:error, reason} ->
        {:reply, {:error, reason}, state}
    end
  end

  def handle_call({:delete, id}, _from, state) do
    with {:ok, _job} <- Board.job(state.board, id),
         do: {:reply, :ok, state |> remove(id) |> tell_of_room()},
         else: ({:error, reason} -> {:reply, {:error, reason}, state})
  end

  @impl true
  def handle_cast({:started, id}, state) do
    with {:ok, %Job{state: "queued"} = job} <- Board.job(state.board, id),
         do: Board.post(state.board, Job.start(job))

    {:noreply, state}
  end

  def handle_cast({:progress, id, fraction, message}, state) do
    with {:ok, %Job{state: "running"} = job} <- Board.job(state.board, id),
         do: Board.post(state.board, Job.progress(job, fraction, message))

    {:noreply, state}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, pid, reason}, state) do
    case Schedule.ended(state.schedule, monitor) do
      {order, schedule} ->
        state = %{state | schedule: schedule}
        {:noreply, state |> ended(order, Runner.outcome(reason)) |> start_next()}

      # Nobody wants what the jobs of a batch give any more.
      :unknown ->
        {ids, parties} = Parties.gone(state.parties, pid)

        {:noreply,
         ids |> Enum.reduce(%{state | parties: parties}, &remove(&2, &1)) |> tell_of_room()}
    end
  end

  def handle_info(:retain, state), do: {:noreply, retain(%{state | retention_timer: nil})}
  def handle_info(_late, state), do: {:noreply, state}

  # In the report of a crash, where nobody is to read what jobs are called with.
  @impl true
  def format_status(%{message: {:submit, order}} = status),
    do: %{status | message: {:submit, Map.delete(order, :args)}}

  def format_status(status), do: status

  # Queued jobs will not run; the others may finish. Who still waits then sees this process end.
  @impl true
  def terminate(_reason, state) do
    until = System.monotonic_time(:millisecond) + state.board.config.shutdown_timeout

    state =
      state.schedule
      |> Schedule.waiting()
      |> Enum.reduce(state, &settle(&2, &1, {"failed", :draining}))
      |> finish_running(until)

    for {id, runner} <- Schedule.runners(state.schedule) do
      Process.exit(runner, :kill)
      settle(state, id, {"failed", :draining})
    end
  end

  defp finish_running(state, until) do
    if Schedule.runners(state.schedule) == [],
      do: state,
      else: await_runner(state, until)
  end

  defp await_runner(state, until) do
    receive do
      {:DOWN, monitor, :process, _pid, reason} ->
        case Schedule.ended(state.schedule, monitor) do
          {%{id: id}, schedule} ->
            %{state | schedule: schedule}
            |> settle(id, Runner.outcome(reason))
            |> finish_running(until)

          :unknown ->
            await_runner(state, until)
        end
    after
      max(until - System.monotonic_time(:millisecond), 0) -> state
    end
  end

  # -- start

  defp admit(%{numbers: numbers} = state, order) do
    id = Job.id(numbers + 1)
    order = Map.put(order, :id, id)

    job = %Job{
      id: id,
      number: numbers + 1,
      command: order.command,
      submitted_at: System.os_time(:microsecond)
    }

    Board.post(state.board, Job.update(job, []))
    Events.submitted(state.board.config.name, job)

    {id,
     %{
       state
       | numbers: numbers + 1,
         schedule: Schedule.add(state.schedule, order),
         parties: Parties.add(state.parties, id, order.owner, order.notify)
     }}
  end

  defp start_next(%{board: board} = state) do
    case Schedule.next(state.schedule) do
      {%{id: id} = order, schedule} ->
        {:ok, job} = Board.job(board, id)
        results = job.results || Results.new()
        Board.put(board, %{job | results: results})
        {runner, monitor} = Runner.start(board, results, order)
        start_next(%{state | schedule: Schedule.running(schedule, order, runner, monitor)})

      :none ->
        tell_of_room(state)
    end
  end

  defp tell_of_room(state) do
    if Schedule.full?(state.schedule),
      do: state,
      else: %{state | parties: Parties.tell_of_room(state.parties)}
  end

  # -- end

  # It may have been in bad company.
  defp ended(state, %{options: %{idempotent: true}} = order, {_failed, :worker_exited})
       when not is_map_key(order, :repeated) do
    case Board.job(state.board, order.id) do
      {:ok, job} ->
        if Job.final?(job) or Results.count(job.results) > 0,
          do: settle(state, order.id, {"failed", :worker_exited}),
          else: repeat(state, order)

      _deleted ->
        settle(state, order.id, {"failed", :worker_exited})
    end
  end

  defp ended(state, order, outcome), do: settle(state, order.id, outcome)

  defp repeat(state, order),
    do: %{state | schedule: Schedule.repeat(state.schedule, Map.put(order, :repeated, true))}

  defp cancel_job(state, id),
    do: state |> stop_runner(id) |> settle(id, {"canceled", :cancelled})

  defp stop_runner(state, id) do
    {runner, schedule} = Schedule.drop(state.schedule, id)
    # Its slot is taken until it is down; that it was killed is no news then.
    if runner do
      Events.canceled(id)
      Process.exit(runner, :kill)
    end

    %{state | schedule: schedule}
  end

  defp settle(state, id, {final, reason}), do: settle(state, id, {final, reason, nil})

  # The first final state is the last.
  defp settle(%{board: board} = state, id, {final, reason, crash}) do
    with {:ok, job} <- Board.job(board, id), false <- Job.final?(job) do
      {job, _update} = finish = Job.finish(job, final, reason, Board.size(board, job))
      # First, so that whoever knows the end finds its event told.
      Events.finished(board.config.name, job, crash)
      Board.post(board, finish)
      Parties.tell_finished(state.parties, id)

      # What belongs to a batch is deleted by it.
      if Parties.owned?(state.parties, id),
        do: state,
        else: retain(%{state | retention: Retention.add(state.retention, job)})
    else
      # Deleted, perhaps while its process put its result on the board.
      {:error, _reason} ->
        Board.sweep(board, id)
        state

      true ->
        state
    end
  end

  defp remove(%{board: board} = state, id) do
    with {:ok, job} <- Board.job(board, id) do
      # First, so that nobody sees it canceled who is told that it was deleted.
      Board.remove(board, job)
      state = if Job.final?(job), do: state, else: abort(state, job)
      forget(%{state | retention: Retention.forget(state.retention, id)}, id)
    else
      _gone -> state
    end
  end

  defp abort(state, %Job{id: id} = job) do
    {job, _update} = Job.finish(job, "canceled", :cancelled, 0)
    Events.finished(state.board.config.name, job)
    Parties.tell_finished(state.parties, id)
    stop_runner(state, id)
  end

  defp retain(%{board: board} = state) do
    {evicted, retention} = Retention.evict(state.retention)

    evicted
    |> Enum.reduce(%{state | retention: retention}, fn id, state ->
      with {:ok, job} <- Board.job(board, id), do: Board.expire(board, job)
      forget(state, id)
    end)
    |> schedule_retention()
  end

  defp forget(state, id), do: %{state | parties: Parties.forget(state.parties, id)}

  defp schedule_retention(%{retention_timer: nil} = state) do
    case Retention.next_in(state.retention) do
      :never -> state
      ms -> %{state | retention_timer: Process.send_after(self(), :retain, ms)}
    end
  end

  defp schedule_retention(state), do: state
end
