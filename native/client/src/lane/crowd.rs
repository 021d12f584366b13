use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Nobody is expected for longer than that. The runtime's clock adds up to a millisecond.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

/// Counts the callers that were told of their answers and have not taken them yet: they are here
/// soon, and often call again.
#[derive(Debug, Default)]
pub(crate) struct Crowd(AtomicUsize);

impl Crowd {
    pub(crate) fn is_expected(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// One more is about to be told.
    pub(crate) fn grow(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// One is here. Says whether it was the last.
    pub(crate) fn shrink(&self) -> bool {
        // Some may come after they were given up.
        let one_less = |expected: usize| expected.checked_sub(1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) == Ok(1)
    }

    /// Who has not come yet is not expected any more: it may be held up, or gone.
    pub(crate) fn give_up(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}
