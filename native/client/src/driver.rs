mod hold;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::{CatchUnwind, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use crate::reading::Reading;
pub(crate) use hold::Hold;

type Carried = Pin<Box<dyn Future<Output = ()> + Send>>;
type Load = FuturesUnordered<CatchUnwind<AssertUnwindSafe<Carried>>>;

/// Somebody polls, and will see a wake-up.
const HELD: u8 = 1;
/// There is something to do.
const WOKEN: u8 = 2;

/// What is woken meanwhile is polled so often, then left to the runtime.
const ROUNDS: u32 = 3;

/// A caller reads about so many bytes on the way, where it has to be back within a millisecond.
const BITE: usize = 16 * 1024;

/// Everything that carries one connection: what tonic and hyper would have spawned as tasks of their
/// own. It is polled by one task of the runtime, or by a caller that has something to send and finds
/// it idle: a request is on the socket then when the call returns, and no other thread was woken.
pub(crate) struct Driver {
    runtime: Handle,
    carried: Mutex<Load>,
    /// What was begun since, be it by what is polled.
    begun: Mutex<Vec<Carried>>,
    signal: Arc<Signal>,
    waker: Waker,
    /// None where what is read cannot be bounded: there no caller polls.
    reading: Option<Arc<Reading>>,
    /// Counts what may have a lot to carry.
    traffic: AtomicUsize,
    /// Counts how often a caller left the connection unwatched.
    left: AtomicUsize,
    /// Somebody sees to it that it is watched again.
    guarded: AtomicBool,
}

/// Dropped by whoever stops to poll before all is done, be it by a panic: the runtime's task goes on.
struct Released<'a>(&'a Signal);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.0.state.store(WOKEN, Ordering::Release);
        self.0.task.wake();
    }
}

/// What is carried ends with the runtime.
struct Running(Arc<Driver>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut carried = self.0.carried.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = (std::mem::take(&mut *carried), std::mem::take(&mut *self.0.begun()));
        drop(carried);
        drop(ended);
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
    /// `reading` is heeded by what reads the connection. Has to be called within a runtime.
    pub(crate) fn new(reading: Option<Arc<Reading>>) -> Arc<Self> {
        let signal = Arc::new(Signal { state: AtomicU8::new(0), task: AtomicWaker::new() });
        Arc::new(Driver {
            runtime: Handle::current(),
            carried: Mutex::default(),
            begun: Mutex::default(),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            reading,
            traffic: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            guarded: AtomicBool::new(false),
        })
    }

    pub(crate) fn traffic(&self) -> Traffic<'_> {
        self.traffic.fetch_add(1, Ordering::Relaxed);
        Traffic(self)
    }

    fn is_busy(&self) -> bool {
        self.traffic.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn executor(self: &Arc<Self>) -> Executor {
        Executor(Arc::downgrade(self))
    }

    /// Polls whenever there is something to do, until all that was begun has ended.
    pub(crate) fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        let running = Running(self);
        std::future::poll_fn(move |context| {
            let driver = &running.0;
            driver.signal.task.register(context.waker());
            loop {
                if let Some(carried) = driver.try_lock() {
                    return driver.drive(carried, usize::MAX, true);
                }
                // Whoever polls on the way sees that there is more, unless it is done but for the lock.
                if driver.signal.state.fetch_or(WOKEN, Ordering::AcqRel) & HELD != 0 {
                    return Poll::Pending;
                }
                std::hint::spin_loop();
            }
        })
    }

    /// Carries one more.
    pub(crate) fn carry(&self, one: Carried) {
        self.begun().push(one);
        self.signal.tell();
    }

    fn drive(&self, mut carried: MutexGuard<'_, Load>, appetite: usize, watched: bool) -> Poll<()> {
        let released = Released(&self.signal);
        let state = &self.signal.state;
        state.fetch_or(HELD, Ordering::AcqRel);
        if let Some(reading) = &self.reading {
            reading.set_appetite(appetite);
            reading.watch(watched);
        }
        for _ in 0..ROUNDS {
            if self.poll(&mut carried).is_ready() {
                std::mem::forget(released);
                return Poll::Ready(());
            }
            if state.compare_exchange(HELD, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                std::mem::forget(released);
                return Poll::Pending;
            }
        }
        drop(released);
        Poll::Pending
    }

    fn poll(&self, carried: &mut Load) -> Poll<()> {
        // Not a store: what was woken before has to be seen by what is polled from here on.
        self.signal.state.swap(HELD, Ordering::AcqRel);
        let context = &mut Context::from_waker(&self.waker);
        loop {
            let begun = std::mem::take(&mut *self.begun());
            carried.extend(begun.into_iter().map(|one| AssertUnwindSafe(one).catch_unwind()));
            match carried.poll_next_unpin(context) {
                Poll::Ready(Some(_ended)) => {}
                _ if !self.begun().is_empty() => {}
                ended => return ended.map(|_none| ()),
            }
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Load>> {
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

impl Signal {
    fn tell(&self) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.tell();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.tell();
    }
}

impl hyper::rt::Executor<Carried> for Executor {
    fn execute(&self, one: Carried) {
        if let Some(driver) = self.0.upgrade() {
            driver.carry(one);
        }
    }
}
