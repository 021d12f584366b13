use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpid};
use pyo3::prelude::*;
use snakepit_protocol::Habit;
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::calls::Calls;
use crate::inject;
use crate::leadership::Leadership;
use crate::process;
use crate::response::Failure;

/// Calls that wait for a thread; beyond that the worker says that it is busy.
const MAX_QUEUE: usize = 4096;

/// A thread that began its call so recently will likely be back for the next one before another
/// thread could have been woken and given the GIL.
const HOT: Duration = Duration::from_micros(100);

/// Answers of brief calls wait so long for those of the next, to be sent together.
const TOGETHER: Duration = Duration::from_micros(50);

/// A thread that is usually called again so soon, of which to be woken may be the most, ...
const SOON: Duration = Duration::from_micros(100);
/// ... looks for the next call so long, which takes less of the processor than to sleep and be woken.
const VIGIL: Duration = Duration::from_micros(20);

/// In place of the number of a thread: one that was woken or started, and has not begun its call.
const ON_ITS_WAY: usize = usize::MAX;

/// After so long a call that was left to a hot thread is given to another.
const RECHECK: Duration = Duration::from_millis(1);

/// Work for a handler thread.
pub(crate) trait Job: Send {
    /// Does it. `thread` is Python's ident of the thread it runs on.
    fn run(self: Box<Self>, py: Python<'_>, thread: u64);

    /// Whether it will be done before another thread could have been woken.
    fn is_brief(&self) -> bool;

    /// It will not be done.
    fn refuse(self: Box<Self>, failure: Failure);
}

/// Persistent threads that run sync handlers.
///
/// Each stays attached to the interpreter for its life, so that thread-locals live and no thread
/// state is made per call. Threads are started as calls need them, up to `capacity` and one more
/// for each cancelled call that has not given its thread back. Under the GIL only one of them runs
/// at a time: waking one per call would have them fight for it, so a burst of short calls is left
/// to the thread that is at it, or on its way, and only what that one does not get to within a
/// millisecond goes to another. One of those without a call leads; see [`Leadership`].
pub(crate) struct Handlers {
    capacity: usize,
    /// The process whose sockets and queue these are.
    owner: Pid,
    calls: Arc<Calls>,
    leadership: Arc<Leadership>,
    state: Mutex<State>,
    wake: Condvar,
    /// Wakes the one that leads.
    called: Notify,
    ended: Condvar,
}

/// Keeps the runtime from sleeping for [`VIGIL`].
async fn looking(began: Instant, called: impl Future<Output = ()>) {
    let looks = async {
        while began.elapsed() < VIGIL {
            tokio::task::yield_now().await;
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        () = called => {}
        () = looks => {}
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Box<dyn Job>>,
    /// Threads that take jobs, or will once they have begun.
    threads: usize,
    /// Of those, the ones that wait for a job or have not looked for one yet.
    idle: usize,
    /// The one that leads meanwhile.
    leader: Option<usize>,
    /// Threads that live, be it only to their end.
    alive: usize,
    /// The last number that was given to a thread.
    number: usize,
    /// The thread that began a call last, or is about to, and when; none once it has run out of
    /// calls.
    hot: Option<(usize, Instant)>,
    rechecking: bool,
    stopping: bool,
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl Handlers {
    /// Up to `capacity` threads of their own. With 0 only threads that call [`run`](Self::run).
    pub(crate) fn new(
        capacity: usize,
        calls: Arc<Calls>,
        leadership: Arc<Leadership>,
    ) -> Arc<Self> {
        let (state, called) = (Mutex::default(), Notify::new());
        let (wake, ended) = (Condvar::new(), Condvar::new());
        Arc::new(Handlers {
            capacity,
            owner: getpid(),
            calls,
            leadership,
            state,
            wake,
            called,
            ended,
        })
    }

    /// Queues a job, or gives it back when the queue is full.
    pub(crate) fn submit(self: &Arc<Self>, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        let mut state = self.lock();
        if state.queue.len() >= MAX_QUEUE || state.stopping {
            warn!("a call is refused: {} wait for a thread", state.queue.len());
            return Err(job);
        }
        state.queue.push_back(job);
        if let Some(leader) = state.leader {
            // It is the one that submits.
            self.called.notify_one();
            if state.queue.len() == 1 {
                state.hot = Some((leader, Instant::now()));
            }
        }
        let soon_back = state.hot.is_some_and(|(_, since)| since.elapsed() < HOT);
        if !soon_back {
            self.engage(&mut state);
            state.hot = Some((ON_ITS_WAY, Instant::now()));
        } else if !state.rechecking {
            state.rechecking = true;
            let handlers = Arc::clone(self);
            self.leadership.handle().spawn(async move { handlers.recheck().await });
        }
        Ok(())
    }

    /// Wakes or starts a thread for what waits.
    fn engage(self: &Arc<Self>, state: &mut State) {
        if state.leader.is_some() {
            self.called.notify_one();
        }
        if state.idle > usize::from(state.leader.is_some()) {
            self.wake.notify_one();
        }
        // One that was woken is idle until it runs: it is good for one job, not for two.
        if state.queue.len() > state.idle && state.threads < self.limit() {
            self.start_thread(state);
        }
    }

    /// How many threads there may be: capacity, and one for each that a cancelled call holds.
    fn limit(&self) -> usize {
        if self.capacity == 0 { 0 } else { self.capacity + self.calls.stuck() }
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) {
        let number = state.number + 1;
        let handlers = Arc::clone(self);
        let started = std::thread::Builder::new().name(format!("snakepit-handler-{number}")).spawn(
            move || {
                Python::attach(|py| {
                    handlers.lock().idle -= 1;
                    handlers.run(py, number);
                });
                handlers.lock().alive -= 1;
                handlers.ended.notify_all();
            },
        );
        // Without a new thread the job waits for one of the old.
        if started.is_ok() {
            state.number = number;
            state.threads += 1;
            state.idle += 1;
            state.alive += 1;
        }
    }

    /// The thread of a cancelled call no longer counts: another may run what waits for it.
    pub(crate) fn thread_given_up(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.queue.is_empty() {
            self.engage(&mut state);
        }
    }

    async fn recheck(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RECHECK).await;
            let mut state = self.lock();
            if state.queue.is_empty() {
                state.rechecking = false;
                return;
            }
            let in_time = state.hot.is_some_and(|(_, since)| since.elapsed() < HOT);
            if !in_time {
                for _ in 0..state.queue.len().min(self.capacity.max(1)) {
                    self.engage(&mut state);
                }
            }
        }
    }

    /// Runs jobs on the current thread until [`stop`](Self::stop).
    pub(crate) fn run(self: &Arc<Self>, py: Python<'_>, number: usize) {
        let ident = inject::current_thread(py);
        let (mut unsent_since, mut soon) = (Instant::now(), Habit::default());
        while let Some(job) = self.next(py, number, &mut unsent_since, &mut soon) {
            // A failure of ours on one call must not cost the thread: the call's own guards answer.
            if std::panic::catch_unwind(AssertUnwindSafe(|| job.run(py, ident))).is_err() {
                error!("the worker failed on a call; the panic stands on standard error");
            }
            if getpid() != self.owner {
                // A child that the handler has forked, and that came back from it.
                process::end_group();
            }
        }
    }

    fn next(
        self: &Arc<Self>,
        py: Python<'_>,
        number: usize,
        unsent_since: &mut Instant,
        soon: &mut Habit,
    ) -> Option<Box<dyn Job>> {
        let waiting = self.take(&mut self.lock(), number);
        if let Some(job) = waiting {
            soon.note(false);
            if !job.is_brief() || unsent_since.elapsed() > TOGETHER {
                self.leadership.catch_up();
                self.leadership.leave(job.is_brief());
                *unsent_since = Instant::now();
            }
            return Some(job);
        }
        let job = py.detach(|| {
            let job = self.wait(number, soon);
            // Before it waits for the GIL: whoever holds that may never give it back.
            self.leadership.leave(job.as_ref().is_some_and(|job| job.is_brief()));
            job
        });
        *unsent_since = Instant::now();
        job
    }

    /// Waits for a job. None when the thread is to end.
    fn wait(self: &Arc<Self>, number: usize, soon: &mut Habit) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = self.take(&mut state, number) {
                return Some(job);
            }
            if state.stopping || (self.capacity > 0 && state.threads > self.limit()) {
                // Not needed any more, now that a cancelled call has given its thread back.
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
            if state.hot.is_some_and(|(hot, _)| hot == number) {
                state.hot = None;
            }
            state.idle += 1;
            if self.capacity > 0 && state.leader.is_none() {
                state.leader = Some(number);
                drop(state);
                let began = Instant::now();
                let looks = soon.is_usual();
                if looks {
                    self.leadership.lead(looking(began, self.called.notified()));
                    soon.proved(began.elapsed() < VIGIL);
                } else {
                    self.leadership.lead(self.called.notified());
                    soon.note(began.elapsed() < SOON);
                }
                state = self.lock();
                state.leader = None;
            } else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
        }
    }

    fn take(self: &Arc<Self>, state: &mut State, number: usize) -> Option<Box<dyn Job>> {
        let job = state.queue.pop_front()?;
        if job.is_brief() {
            state.hot = Some((number, Instant::now()));
        } else {
            state.hot = None;
            if !state.queue.is_empty() {
                self.engage(state);
            }
        }
        Some(job)
    }

    /// Ends the threads, each after the call it is at. What waits does not run.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        // Dropped after the lock is: a job answers its caller when it is dropped.
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        self.wake.notify_all();
        self.called.notify_one();
        drop(waiting);
    }

    /// Waits until every thread has ended; false when `patience` is over before. Not to be called
    /// with the GIL held.
    pub(crate) fn join(&self, patience: Duration) -> bool {
        let busy = |state: &mut State| state.alive > 0;
        let waited = self.ended.wait_timeout_while(self.lock(), patience, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    // Nobody waits for the GIL under the lock, so it may be taken with the GIL held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
