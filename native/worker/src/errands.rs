use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tokio::sync::oneshot;

type Errand = Box<dyn FnOnce(Python<'_>) + Send>;

/// Runs what the tokio thread has to do in Python, on a thread that may wait for the GIL: calling
/// back into the asyncio loop, and interrupting handlers.
///
/// One thread, started with the first errand, does them in their order: each is short, and however
/// many there are, only one thread competes with the handlers for the GIL.
#[derive(Default)]
pub(crate) struct Errands {
    state: Mutex<State>,
    wake: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Errand>,
    alive: bool,
    stopping: bool,
}

impl std::fmt::Debug for Errands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Errands").field("waiting", &self.lock().queue.len()).finish_non_exhaustive()
    }
}

impl Errands {
    /// Queues an errand. What is returned is ready when it is done, or never will be.
    pub(crate) fn run(
        self: &Arc<Self>,
        errand: impl FnOnce(Python<'_>) + Send + 'static,
    ) -> oneshot::Receiver<()> {
        let (sender, done) = oneshot::channel();
        let errand = Box::new(move |py: Python<'_>| {
            errand(py);
            // Nobody may wait for it.
            let _ = sender.send(());
        });
        let mut state = self.lock();
        if !state.stopping {
            state.queue.push_back(errand);
            self.engage(state);
        }
        done
    }

    /// Calls a Python function that takes nothing.
    pub(crate) fn call_back(self: &Arc<Self>, callback: Py<PyAny>) {
        self.run(move |py| {
            if let Err(error) = callback.call0(py) {
                error.print(py);
            }
        });
    }

    fn engage(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.alive {
            self.wake.notify_one();
            return;
        }
        let errands = Arc::clone(self);
        let thread = std::thread::Builder::new().name("snakepit-errands".to_owned());
        // Without a thread the errands wait for the next attempt.
        state.alive = thread.spawn(move || errands.work()).is_ok();
    }

    fn work(&self) {
        Python::attach(|py| {
            while let Some(errand) = self.next(py) {
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| errand(py)));
            }
        });
        self.lock().alive = false;
        self.ended.notify_all();
    }

    fn next(&self, py: Python<'_>) -> Option<Errand> {
        if let Some(errand) = self.lock().queue.pop_front() {
            return Some(errand);
        }
        py.detach(|| {
            let mut state = self.lock();
            while state.queue.is_empty() && !state.stopping {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.queue.pop_front()
        })
    }

    /// Ends the thread once it has done what waits, and waits for that; false when `patience` is
    /// over before. Not to be called with the GIL held.
    pub(crate) fn stop(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        self.wake.notify_all();
        let waited = self.ended.wait_timeout_while(state, patience, |state| state.alive);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    // Nobody waits for the GIL under the lock, so it may be taken with the GIL held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
