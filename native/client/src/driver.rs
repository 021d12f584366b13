use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::{CatchUnwind, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use crate::connector::Appetite;

type Carried = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Somebody polls, and will see a wake-up.
const HELD: u8 = 1;
/// There is something to do.
const WOKEN: u8 = 2;

/// What is woken meanwhile is polled so often, then left to the runtime.
const ROUNDS: u32 = 3;

/// A caller reads about so many bytes on the way, where it has to be back within a millisecond.
const BITE: usize = 64 * 1024;

/// Everything that carries one connection: what tonic and hyper would have spawned as tasks of their
/// own. It is polled by one task of the runtime, or by a caller that has something to send and finds
/// it idle: a request is on the socket then when the call returns, and no other thread was woken.
pub(crate) struct Driver {
    runtime: Handle,
    carried: Mutex<FuturesUnordered<CatchUnwind<AssertUnwindSafe<Carried>>>>,
    /// What was begun since, be it by what is polled.
    begun: Mutex<Vec<Carried>>,
    signal: Arc<Signal>,
    waker: Waker,
    /// None where what is read cannot be bounded: there no caller polls.
    appetite: Option<Arc<Appetite>>,
    /// Counts what may have a lot to carry.
    traffic: AtomicUsize,
}

/// Dropped by whoever stops to poll before all is done, be it by a panic: the runtime's task goes on.
struct Released<'a>(&'a Signal);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.0.state.store(WOKEN, Ordering::Release);
        self.0.task.wake();
    }
}

/// Something besides the lane is under way.
pub(crate) struct Traffic<'a>(&'a Driver);

impl Drop for Traffic<'_> {
    fn drop(&mut self) {
        self.0.traffic.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Remembers a wake-up, and tells the runtime's task unless somebody polls anyway.
struct Signal {
    state: AtomicU8,
    task: AtomicWaker,
}

/// Begins what carries a connection. Does not keep the driver alive.
#[derive(Clone)]
pub(crate) struct Executor(Weak<Driver>);

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Driver {
    /// `appetite` is heeded by what reads the connection. Has to be called within a runtime.
    pub(crate) fn new(appetite: Option<Arc<Appetite>>) -> Arc<Self> {
        let signal = Arc::new(Signal { state: AtomicU8::new(0), task: AtomicWaker::new() });
        Arc::new(Driver {
            runtime: Handle::current(),
            carried: Mutex::default(),
            begun: Mutex::default(),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            appetite,
            traffic: AtomicUsize::new(0),
        })
    }

    pub(crate) fn traffic(&self) -> Traffic<'_> {
        self.traffic.fetch_add(1, Ordering::Relaxed);
        Traffic(self)
    }

    pub(crate) fn executor(self: &Arc<Self>) -> Executor {
        Executor(Arc::downgrade(self))
    }

    /// Polls whenever there is something to do, until all that was begun has ended.
    pub(crate) fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        std::future::poll_fn(move |context| {
            self.signal.task.register(context.waker());
            loop {
                if let Some(carried) = self.try_lock() {
                    return self.drive(carried, usize::MAX);
                }
                // Whoever polls on the way sees that there is more, unless it is done but for the lock.
                if self.signal.state.fetch_or(WOKEN, Ordering::AcqRel) & HELD != 0 {
                    return Poll::Pending;
                }
                std::hint::spin_loop();
            }
        })
    }

    /// Does `wake`, which gives little to do, and what it gives, if nobody else is at it and nothing
    /// else waits to be carried.
    pub(crate) fn wake_inline(&self, wake: impl FnOnce()) {
        let quiet = self.appetite.is_some() && self.traffic.load(Ordering::Relaxed) == 0;
        let Some(carried) = quiet.then(|| self.try_lock()).flatten() else {
            return wake();
        };
        self.signal.state.fetch_or(HELD, Ordering::AcqRel);
        wake();
        let _runtime = self.runtime.enter();
        if self.drive(carried, BITE).is_ready() {
            self.signal.task.wake();
        }
    }

    fn drive(
        &self,
        mut carried: MutexGuard<'_, FuturesUnordered<CatchUnwind<AssertUnwindSafe<Carried>>>>,
        appetite: usize,
    ) -> Poll<()> {
        if let Some(bounded) = &self.appetite {
            bounded.set(appetite);
        }
        let released = Released(&self.signal);
        let (state, context) = (&self.signal.state, &mut Context::from_waker(&self.waker));
        for _ in 0..ROUNDS {
            // Not a store: what was woken before has to be seen by what is polled from here on.
            state.swap(HELD, Ordering::AcqRel);
            loop {
                let begun = std::mem::take(&mut *self.begun());
                carried.extend(begun.into_iter().map(|one| AssertUnwindSafe(one).catch_unwind()));
                match carried.poll_next_unpin(context) {
                    Poll::Ready(Some(_ended)) => {}
                    _ if !self.begun().is_empty() => {}
                    Poll::Ready(None) => {
                        std::mem::forget(released);
                        return Poll::Ready(());
                    }
                    Poll::Pending => break,
                }
            }
            if state.compare_exchange(HELD, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                std::mem::forget(released);
                return Poll::Pending;
            }
        }
        drop(released);
        Poll::Pending
    }

    fn try_lock(
        &self,
    ) -> Option<MutexGuard<'_, FuturesUnordered<CatchUnwind<AssertUnwindSafe<Carried>>>>> {
        match self.carried.try_lock() {
            Ok(carried) => Some(carried),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn begun(&self) -> MutexGuard<'_, Vec<Carried>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

impl hyper::rt::Executor<Carried> for Executor {
    fn execute(&self, one: Carried) {
        if let Some(driver) = self.0.upgrade() {
            driver.begun().push(one);
            driver.signal.wake_by_ref();
        }
    }
}
