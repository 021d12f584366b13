use std::pin::pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;

/// A vacancy that nobody was told of is noticed within two of these. What happens on the sockets
/// waits as long when a handler that is known to be brief is not.
const TICK: Duration = Duration::from_micros(250);

/// After so many ticks without a call the io thread does not look any more, until it is woken.
const QUIET_TICKS: u32 = 40;

/// Who drives the tokio runtime: one thread at a time, the leader.
///
/// A handler thread without a call leads itself. So a call comes from the socket to its handler, and
/// its answer goes back, on one thread: no other is woken. (Leader and followers: Schmidt et al.,
/// "Pattern-Oriented Software Architecture", volume 2.) While the leader runs a handler that is
/// known to be brief, nobody leads; else, or should it not be brief for once, the io thread does.
#[derive(Debug)]
pub(crate) struct Leadership {
    /// None once it is shut down.
    runtime: RwLock<Option<Runtime>>,
    handle: Handle,
    state: Mutex<State>,
    /// The io thread waits here ...
    vacant: Condvar,
    /// ... and here while it leads.
    recalled: Notify,
}

#[derive(Debug, Default)]
struct State {
    leader: Leader,
    /// Counts who comes and who goes.
    turn: u64,
    /// The io thread is to lead at once.
    wanted: bool,
    /// The io thread looks every tick.
    watched: bool,
    /// To be woken by the next leader, for whom it is less work.
    deferred: Vec<Waker>,
    over: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Leader {
    #[default]
    Nobody,
    /// ... that came at this turn.
    Handler(u64),
    Io,
}

impl Leadership {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Leadership {
            handle: runtime.handle().clone(),
            runtime: RwLock::new(Some(runtime)),
            state: Mutex::default(),
            vacant: Condvar::new(),
            recalled: Notify::new(),
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A handler thread leads until `called`; then nobody does. Whoever leads meanwhile goes first.
    pub(crate) fn lead(&self, called: impl Future<Output = ()>) {
        self.take_over(self.lock(), called);
    }

    fn take_over(&self, mut state: MutexGuard<'_, State>, called: impl Future<Output = ()>) {
        let relieved = state.leader == Leader::Io;
        state.turn += 1;
        let own = Leader::Handler(state.turn);
        state.begin(own);
        drop(state);
        if relieved {
            self.recalled.notify_one();
        }
        self.drive(called);
        let mut state = self.lock();
        if state.leader == own {
            state.leader = Leader::Nobody;
            state.turn += 1;
        }
    }

    /// Does what is due on the sockets, if nobody leads and something is known to be.
    pub(crate) fn catch_up(&self) {
        let state = self.lock();
        if state.leader == Leader::Nobody && !state.deferred.is_empty() {
            self.take_over(state, tokio::task::yield_now());
        }
    }

    /// The thread that led goes off with a call, to be back at once if the call is `brief`.
    pub(crate) fn leave(&self, brief: bool) {
        let mut state = self.lock();
        if state.leader != Leader::Nobody || (brief && state.watched) {
            return;
        }
        state.wanted |= !brief;
        state.watched = true;
        drop(state);
        self.vacant.notify_one();
    }

    /// Wakes a task: now if somebody leads, else when somebody does.
    pub(crate) fn wake(&self, waker: Waker) {
        let mut state = self.lock();
        if state.leader == Leader::Nobody && !state.over {
            state.deferred.push(waker);
        } else {
            drop(state);
            waker.wake();
        }
    }

    /// The io thread leads whenever nobody else does, until [`finish`](Self::finish).
    pub(crate) fn stand_by(&self) {
        let (mut seen, mut quiet) = (0, 0);
        let mut state = self.lock();
        while !state.over {
            let stays_vacant = state.wanted || state.turn == seen;
            if state.leader == Leader::Nobody && stays_vacant {
                state.begin(Leader::Io);
                drop(state);
                self.drive(self.recalled.notified());
                state = self.lock();
                quiet = 0;
                continue;
            }
            quiet = if state.turn == seen { quiet + 1 } else { 0 };
            seen = state.turn;
            state = if quiet < QUIET_TICKS {
                let waited = self.vacant.wait_timeout(state, TICK);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                state.watched = false;
                self.vacant.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Ends [`stand_by`](Self::stand_by).
    pub(crate) fn finish(&self) {
        self.lock().over = true;
        self.vacant.notify_one();
        self.recalled.notify_one();
    }

    /// Drops every task, and with them the connections. Waits for whoever leads.
    pub(crate) fn shut_down(&self) {
        let runtime = self.runtime.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }

    fn drive(&self, until: impl Future<Output = ()>) {
        let until = pin!(until);
        let runtime = self.runtime.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            runtime.block_on(async {
                // On the runtime's own thread, to which nobody has to tell it.
                while let Some(waker) = self.deferred() {
                    waker.wake();
                }
                until.await;
            });
        }
    }

    fn deferred(&self) -> Option<Waker> {
        self.lock().deferred.pop()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, leader: Leader) {
        self.leader = leader;
        self.wanted = false;
    }
}
