use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::runtime::EnterGuard;
use tokio::time::sleep;

use super::{BITE, Driver, HELD, Load, WOKEN};

/// The runtime watches a connection again about so long after a caller last watched it.
const REST: Duration = Duration::from_millis(1);

/// A caller's right to poll. It polls once more when it is dropped.
pub(crate) struct Hold<'a> {
    driver: &'a Arc<Driver>,
    carried: Option<MutexGuard<'a, Load>>,
    watched: bool,
    _runtime: EnterGuard<'a>,
}

impl Driver {
    /// For a caller that has a little to send, if nobody else is at it and nothing else waits to be
    /// carried.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Hold<'_>> {
        let quiet = self.reading.is_some() && !self.is_busy();
        let carried = quiet.then(|| self.try_lock()).flatten()?;
        self.signal.state.fetch_or(HELD, Ordering::AcqRel);
        let _runtime = self.runtime.enter();
        Some(Hold { driver: self, carried: Some(carried), watched: true, _runtime })
    }

    /// Has the runtime watch the connection again, once no caller does any more.
    fn guard(self: &Arc<Self>) {
        self.left.fetch_add(1, Ordering::Relaxed);
        if self.guarded.swap(true, Ordering::AcqRel) {
            return;
        }
        let driver = Arc::downgrade(self);
        self.runtime.spawn(async move {
            let mut seen = 0;
            loop {
                sleep(REST).await;
                let Some(driver) = driver.upgrade() else {
                    return;
                };
                let left = driver.left.load(Ordering::Relaxed);
                if left == seen {
                    // Whoever leaves it from here on begins to guard it again.
                    driver.guarded.store(false, Ordering::Release);
                    driver.signal.tell();
                    return;
                }
                seen = left;
            }
        });
    }
}

impl Hold<'_> {
    /// Polls, while the connection is not watched by the runtime, and from now on.
    pub(crate) fn poll_unwatched(&mut self) {
        let Some((carried, reading)) = self.carried.as_mut().zip(self.driver.reading.as_ref())
        else {
            return;
        };
        reading.set_appetite(BITE);
        reading.watch(false);
        reading.rouse();
        let _ended = self.driver.poll(carried);
    }

    /// Whether something has come, or is to be done.
    pub(crate) fn is_called(&self) -> bool {
        self.driver.signal.state.load(Ordering::Acquire) & WOKEN != 0
            || self.driver.reading.as_ref().is_none_or(|reading| reading.has_come())
    }

    /// Leaves the connection unwatched, for a call that follows soon, unless somebody else waits.
    pub(crate) fn leave_unwatched(mut self, others_wait: impl FnOnce() -> bool) {
        self.watched = false;
        let driver = self.driver;
        drop(self);
        // Who comes from here on wakes the runtime's task, and who came before is seen.
        if driver.is_busy() || others_wait() {
            driver.signal.tell();
        } else {
            driver.guard();
        }
    }

    /// Whether something besides the lane is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.driver.is_busy()
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(carried) = self.carried.take()
            && self.driver.drive(carried, BITE, self.watched).is_ready()
        {
            self.driver.signal.task.wake();
        }
    }
}
