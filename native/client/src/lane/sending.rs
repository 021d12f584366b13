use std::sync::MutexGuard;

use super::linger::{Company, linger};
use super::{Lane, State, wake};
use crate::driver::Driver;

/// Requests of at most so many bytes are sent by their callers, others by the runtime.
pub(super) const INLINE: usize = 64 * 1024;

/// Who sends what has gathered, and what they see on the way.
impl Lane {
    /// Sends what has gathered, here if it is little.
    pub(super) fn send(&self, state: MutexGuard<'_, State>) {
        match self.driver.upgrade() {
            Some(driver) if state.gathered <= INLINE => {
                let _hold = driver.hold();
                wake(state);
            }
            _ => wake(state),
        }
    }

    /// Says whether the answer is here.
    pub(super) fn send_and_linger(
        &self,
        mut state: MutexGuard<'_, State>,
        id: u64,
        company: Company,
    ) -> bool {
        let driver = self.driver.upgrade();
        let Some(mut hold) = driver.as_ref().and_then(Driver::hold) else {
            wake(state);
            return false;
        };
        let before = state.linger.begin(id);
        wake(state);
        // Whoever is told of an answer goes on in the place of one that is not alone.
        let relieved = || company != Company::None && self.crowd.is_expected();
        linger(&mut hold, || relieved() || self.lock().linger.is_over());
        let answered = self.lock().linger.end(company, before);
        if answered || relieved() {
            hold.leave_unwatched(|| !relieved() && !self.lock().waiting.is_empty());
        }
        answered
    }

    /// Sends, and sees what has come; whoever comes next does so too.
    pub(super) fn send_and_leave(&self, state: MutexGuard<'_, State>) {
        let driver = self.driver.upgrade().filter(|_| state.gathered <= INLINE);
        let hold = driver.as_ref().and_then(Driver::hold);
        wake(state);
        if let Some(mut hold) = hold {
            hold.poll_unwatched();
            // Whoever came meanwhile could not look.
            hold.leave_unwatched(|| !self.lock().linger.is_awaited());
        }
    }

    pub(super) fn send_gathered(&self) {
        let state = self.lock();
        if !state.outbox.is_empty() {
            self.send(state);
        }
    }
}
