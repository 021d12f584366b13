defmodule Snakepit.Pool.Slots do
  @moduledoc false
  # The shared memory of a pool: which caller holds which slot of which worker.
  #
  # Worker `w` (from 0) owns the slots `w * capacity + 1` to `(w + 1) * capacity`. A slot
  # holds 0 when free and the token of its caller otherwise, so that taking it
  # and naming the owner is one compare-and-exchange: a caller killed at any moment
  # leaves either nothing or a slot the server finds by token. Beside it stands how often it was
  # taken.
  #
  # The second array has counters, and per worker its state and, where there is a choice, a hint of
  # its load. The hint only says where to look first; the slots alone decide.
  #
  # What every call writes shares no cache line (64 bytes, 8 words) with anything else: callers on
  # other schedulers would wait for it.

  @enforce_keys [:slots, :meta, :size, :capacity]
  defstruct [:slots, :meta, :size, :capacity]

  @type t :: %__MODULE__{
          slots: :atomics.atomics_ref(),
          meta: :atomics.atomics_ref(),
          size: pos_integer(),
          capacity: pos_integer()
        }
  @type token :: pos_integer()
  @type slot :: pos_integer()
  @type worker :: non_neg_integer()
  @type target :: :any | worker()
  @type state :: :starting | :ready | :failing | :vacant | :leaving | :draining

  @waiting 1
  @counters [
    errors: 2,
    timeouts: 3,
    queue_timeouts: 4,
    rejected: 5,
    restarts: 6
  ]
  @tokens 7
  @line 8
  @head 2 * @line
  # State, limit and edition, which every call reads; the load, which it writes.
  @per_worker 4 * @line
  @written 2 * @line
  @states [starting: 0, ready: 1, failing: 2, vacant: 3, leaving: 4, draining: 5]
  @ready @states[:ready]
  @leaving @states[:leaving]
  @draining @states[:draining]

  @spec new(pos_integer(), pos_integer()) :: t()
  def new(size, capacity) do
    %__MODULE__{
      slots: :atomics.new(size * capacity * @line, signed: false),
      meta: :atomics.new(@head + size * @per_worker, signed: true),
      size: size,
      capacity: capacity
    }
  end

  @doc """
  A token for another caller. They are given in a row, so that as many callers as a worker has slots
  begin their search at different ones.
  """
  @spec new_token(t()) :: token()
  def new_token(%__MODULE__{meta: meta}), do: :atomics.add_get(meta, @tokens, 1)

  @doc """
  Takes a slot, unless somebody is waiting: nobody overtakes the queue.
  """
  @spec take(t(), target(), token(), worker()) :: {:ok, slot()} | :full
  def take(%__MODULE__{meta: meta} = slots, target, token, start) do
    if :atomics.get(meta, @waiting) == 0, do: claim(slots, target, token, start, []), else: :full
  end

  @doc """
  Takes a slot of `target`; of the least loaded worker for `:any`, looking from `start`
  on and leaving out `skip`.
  """
  @spec claim(t(), target(), token(), worker(), [worker()]) :: {:ok, slot()} | :full
  def claim(slots, target, token, start, skip)

  # No choice, and no look at what chooses.
  def claim(%__MODULE__{size: 1} = slots, :any, token, _start, []),
    do: if(ready?(slots, 0), do: claim_worker(slots, 0, token), else: :full)

  def claim(%__MODULE__{} = slots, :any, token, start, skip) do
    case least_loaded(slots, start, skip) do
      nil -> :full
      worker -> claim_from(slots, worker, token, slots.size, skip)
    end
  end

  def claim(%__MODULE__{} = slots, worker, token, _start, _skip) do
    if state_number(slots, worker) in [@ready, @leaving],
      do: claim_worker(slots, worker, token),
      else: :full
  end

  @spec release(t(), slot()) :: :ok
  def release(%__MODULE__{} = slots, slot) do
    add_load(slots, worker(slots, slot), -1)
    :atomics.put(slots.slots, slot_at(slot), 0)
  end

  @doc """
  Frees a slot in the name of somebody else. `false` if it is not the token's any more.
  """
  @spec release(t(), slot(), token()) :: boolean()
  def release(%__MODULE__{} = slots, slot, token) do
    freed = :atomics.compare_exchange(slots.slots, slot_at(slot), token, 0) == :ok
    if freed, do: add_load(slots, worker(slots, slot), -1)
    freed
  end

  @doc """
  Frees every slot of a dead caller and returns the workers they belong to. `on_slot` is called with
  each before it is free.
  """
  @spec reap(t(), token(), (slot() -> term())) :: [worker()]
  def reap(%__MODULE__{} = slots, token, on_slot \\ fn _slot -> :ok end) do
    reaped =
      for slot <- 1..(slots.size * slots.capacity), held?(slots, slot, token), do: slot

    Enum.each(reaped, on_slot)
    workers = reaped |> Enum.map(&worker(slots, &1)) |> Enum.uniq()
    Enum.each(reaped, &:atomics.compare_exchange(slots.slots, slot_at(&1), token, 0))

    # The caller may have died between taking the slot and counting it.
    Enum.each(workers, &:atomics.put(slots.meta, load_at(&1), in_flight(slots, &1)))
    workers
  end

  @spec worker(t(), slot()) :: worker()
  def worker(%__MODULE__{capacity: capacity}, slot), do: div(slot - 1, capacity)

  @spec in_flight(t(), worker()) :: non_neg_integer()
  def in_flight(%__MODULE__{} = slots, worker) do
    first = worker * slots.capacity + 1
    count_busy(slots, first..(first + slots.capacity - 1))
  end

  @doc """
  About how many calls one of several workers has: good enough to choose one, not to count on.
  """
  @spec load(t(), worker()) :: integer()
  def load(%__MODULE__{meta: meta}, worker), do: :atomics.get(meta, load_at(worker))

  @spec held?(t(), slot(), token()) :: boolean()
  def held?(%__MODULE__{slots: slots}, slot, token),
    do: :atomics.get(slots, slot_at(slot)) == token

  @spec busy(t()) :: non_neg_integer()
  def busy(%__MODULE__{} = slots), do: count_busy(slots, 1..(slots.size * slots.capacity))

  defp count_busy(slots, range),
    do: Enum.count(range, &(:atomics.get(slots.slots, slot_at(&1)) != 0))

  @doc """
  How often a slot of the worker was taken.
  """
  @spec requests(t(), worker()) :: non_neg_integer()
  def requests(%__MODULE__{slots: slots, capacity: capacity}, worker),
    do: taken(slots, worker * capacity + 1, capacity, 0)

  defp taken(_slots, _slot, 0, sum), do: sum

  defp taken(slots, slot, left, sum),
    do: taken(slots, slot + 1, left - 1, sum + :atomics.get(slots, taken_at(slot)))

  @spec add_waiting(t(), integer()) :: :ok
  def add_waiting(%__MODULE__{meta: meta}, n), do: :atomics.add(meta, @waiting, n)

  @spec waiting?(t()) :: boolean()
  def waiting?(%__MODULE__{meta: meta}), do: :atomics.get(meta, @waiting) != 0

  @spec put_state(t(), worker(), state()) :: :ok
  def put_state(%__MODULE__{meta: meta}, worker, state),
    do: :atomics.put(meta, state_at(worker), @states[state])

  @spec state(t(), worker()) :: state()
  def state(%__MODULE__{meta: meta}, worker) do
    {state, _} = List.keyfind(@states, :atomics.get(meta, state_at(worker)), 1)
    state
  end

  defp state_number(%{meta: meta}, worker), do: :atomics.get(meta, state_at(worker))

  @spec ready?(t(), worker()) :: boolean()
  def ready?(%__MODULE__{} = slots, worker), do: state_number(slots, worker) == @ready

  @spec draining?(t(), worker()) :: boolean()
  def draining?(%__MODULE__{} = slots, worker), do: state_number(slots, worker) == @draining

  @doc """
  Changes whenever another connection is to be used for a worker, or none.
  """
  @spec edition(t(), worker()) :: integer()
  def edition(%__MODULE__{meta: meta}, worker), do: :atomics.get(meta, edition_at(worker))

  @spec new_edition(t(), worker()) :: :ok
  def new_edition(%__MODULE__{meta: meta}, worker),
    do: :atomics.add(meta, edition_at(worker), 1)

  @doc """
  At how many requests, counted as by `requests/2`, a worker is used up. 0 for never.
  """
  @spec put_limit(t(), worker(), non_neg_integer()) :: :ok
  def put_limit(%__MODULE__{meta: meta}, worker, limit),
    do: :atomics.put(meta, limit_at(worker), limit)

  @spec used_up?(t(), worker()) :: boolean()
  def used_up?(%__MODULE__{meta: meta} = slots, worker) do
    limit = :atomics.get(meta, limit_at(worker))
    limit > 0 and requests(slots, worker) >= limit
  end

  for {name, index} <- @counters do
    defp counter(unquote(name)), do: unquote(index)
  end

  @spec count(t(), atom()) :: :ok
  def count(%__MODULE__{meta: meta}, name), do: :atomics.add(meta, counter(name), 1)

  @spec counted(t()) :: %{atom() => non_neg_integer()}
  def counted(%__MODULE__{meta: meta}),
    do: Map.new(@counters, fn {name, index} -> {name, :atomics.get(meta, index)} end)

  # The ready worker with the smallest load, an idle one at once.
  defp least_loaded(%{meta: meta, size: size}, start, skip),
    do: least_loaded(meta, start, size, size, skip, nil, nil)

  defp least_loaded(_meta, _worker, _size, 0, _skip, best, _load), do: best

  defp least_loaded(meta, worker, size, left, skip, best, best_load) do
    next = if worker + 1 == size, do: 0, else: worker + 1

    if :atomics.get(meta, state_at(worker)) == @ready and not :lists.member(worker, skip) do
      # A number is smaller than an atom, so the first one found beats nil.
      case :atomics.get(meta, load_at(worker)) do
        load when load <= 0 -> worker
        load when load < best_load -> least_loaded(meta, next, size, left - 1, skip, worker, load)
        _more -> least_loaded(meta, next, size, left - 1, skip, best, best_load)
      end
    else
      least_loaded(meta, next, size, left - 1, skip, best, best_load)
    end
  end

  # The hint may be wrong, so every worker is tried before giving up.
  defp claim_from(_slots, _worker, _token, 0, _skip), do: :full

  defp claim_from(slots, worker, token, left, skip) do
    with true <- ready?(slots, worker) and not :lists.member(worker, skip),
         {:ok, slot} <- claim_worker(slots, worker, token) do
      {:ok, slot}
    else
      _full -> claim_from(slots, rem(worker + 1, slots.size), token, left - 1, skip)
    end
  end

  # A caller begins with the slot it likely had before, which nobody else begins with.
  defp claim_worker(%{capacity: capacity} = slots, worker, token),
    do: probe(slots, worker, worker * capacity + 1, rem(token, capacity), capacity, token)

  defp probe(_slots, _worker, _first, _offset, 0, _token), do: :full

  defp probe(slots, worker, first, offset, left, token) do
    case :atomics.compare_exchange(slots.slots, slot_at(first + offset), 0, token) do
      :ok ->
        add_load(slots, worker, 1)
        :atomics.add(slots.slots, taken_at(first + offset), 1)
        {:ok, first + offset}

      _taken ->
        offset = if offset + 1 == slots.capacity, do: 0, else: offset + 1
        probe(slots, worker, first, offset, left - 1, token)
    end
  end

  # All callers write it, so it is kept only for those who choose.
  defp add_load(%{size: 1}, _worker, _change), do: :ok

  defp add_load(%{meta: meta}, worker, change),
    do: :atomics.add(meta, load_at(worker), change)

  defp slot_at(slot), do: (slot - 1) * @line + 1
  defp taken_at(slot), do: slot_at(slot) + 1
  defp state_at(worker), do: @head + worker * @per_worker + 1
  defp limit_at(worker), do: state_at(worker) + 1
  defp edition_at(worker), do: state_at(worker) + 2
  defp load_at(worker), do: state_at(worker) + @written
end
