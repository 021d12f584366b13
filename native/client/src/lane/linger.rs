use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::driver::Hold;

/// A caller looks for its answer itself so long. Several times what waking a thread costs, so that
/// a handler that takes about nothing is done; far below a time slice of a scheduler.
const VIGIL: Duration = Duration::from_micros(40);

/// After so many calls that were alone on the lane, callers begin to look.
const ALONE: u32 = 16;

/// ... and after so many at most, each time after they looked in vain.
const MOST: u32 = 16_384;

/// Tells the lanes of this process apart.
static LANES: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The lane of the last call on this thread.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// Whether the caller of a call looks for the answer itself, where the worker likely has it before
/// another thread could have been woken to look, and nobody else waits for anything: neither on this
/// lane, nor, as far as can be seen from the last call on it, on this thread.
#[derive(Debug)]
pub(crate) struct Linger {
    lane: usize,
    streak: u32,
    needed: u32,
    /// The call that is looked for.
    id: Option<u64>,
}

impl Linger {
    pub(crate) fn new() -> Self {
        let lane = LANES.fetch_add(1, Ordering::Relaxed);
        Linger { lane, streak: 0, needed: ALONE, id: None }
    }

    /// A call is made. Says whether it is to be looked for.
    pub(crate) fn is_due(&mut self, alone: bool) -> bool {
        let again = LAST.replace(self.lane) == self.lane;
        self.streak = if alone && again { self.streak.saturating_add(1) } else { 0 };
        self.streak >= self.needed
    }

    pub(crate) fn begin(&mut self, id: u64) {
        self.id = Some(id);
    }

    /// Whether this call is looked for; from now on it is not.
    pub(crate) fn finds(&mut self, id: u64) -> bool {
        self.id.take_if(|own| *own == id).is_some()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.id.is_none()
    }

    /// Says whether the call was answered.
    pub(crate) fn end(&mut self) -> bool {
        let answered = self.id.take().is_none();
        if answered {
            self.needed = ALONE;
        } else {
            self.needed = (self.needed * 2).min(MOST);
            self.streak = 0;
        }
        answered
    }
}

/// Polls until `is_over`, for [`VIGIL`] at most.
pub(crate) fn linger(hold: &mut Hold<'_>, is_over: impl Fn() -> bool) {
    let began = Instant::now();
    loop {
        hold.poll_unwatched();
        if is_over() {
            return;
        }
        while !hold.is_called() {
            if began.elapsed() > VIGIL {
                return;
            }
            std::hint::spin_loop();
        }
        // What comes may be for others, and never end.
        if began.elapsed() > VIGIL {
            return;
        }
    }
}
