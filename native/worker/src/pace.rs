use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What takes less is done before another thread could have been woken and given the GIL.
const BRIEF: u32 = 50;

/// How long a handler takes, as far as its calls have shown: quick to rise, slow to fall.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU32);

impl Default for Pace {
    /// Unknown, so not brief.
    fn default() -> Self {
        Pace(AtomicU32::new(u32::MAX))
    }
}

impl Pace {
    /// A call has taken so long.
    pub(crate) fn note(&self, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX - 1);
        let known = self.0.load(Ordering::Relaxed);
        // Calls of other threads may be lost here: it is an estimate.
        let now = match known {
            u32::MAX => took,
            known if took > known => known + (took - known) / 2,
            known => known - (known - took).div_ceil(8),
        };
        if now != known {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_brief(&self) -> bool {
        self.0.load(Ordering::Relaxed) < BRIEF
    }
}
