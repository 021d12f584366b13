use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use snakepit_protocol::Habit;
use tokio::time::Instant;

use crate::driver::Hold;

/// A caller looks for its answer itself so long. Several times what waking a thread costs, so that
/// a handler that takes about nothing is done; far below a time slice of a scheduler.
const VIGIL: Duration = Duration::from_micros(50);

/// Tells the lanes of this process apart.
static LANES: AtomicUsize = AtomicUsize::new(1);

/// Callers that look at present.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// A caller that looks, and the worker that it waits for, take a processor each.
static ROOM: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)));

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
    /// Calls are alone.
    alone: Habit,
    /// The call that is looked for.
    id: Option<u64>,
}

impl Linger {
    pub(crate) fn new() -> Self {
        let lane = LANES.fetch_add(1, Ordering::Relaxed);
        Linger { lane, alone: Habit::default(), id: None }
    }

    /// A call is made. Says whether it is to be looked for.
    pub(crate) fn is_due(&mut self, alone: bool) -> bool {
        let again = LAST.replace(self.lane) == self.lane;
        let usual = alone && again && self.alone.is_usual();
        self.alone.note(alone && again);
        usual
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
        self.alone.proved(answered);
        answered
    }
}

/// The right to look.
pub(crate) struct Look(());

impl Look {
    pub(crate) fn take() -> Option<Self> {
        let one_more = |looking: usize| (looking < *ROOM).then_some(looking + 1);
        let taken = LOOKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Look(()))
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Polls until `is_over`, for [`VIGIL`] at most.
pub(crate) fn linger(hold: &mut Hold<'_>, is_over: impl Fn() -> bool) {
    let began = Instant::now();
    loop {
        hold.poll_unwatched();
        if is_over() || hold.is_busy() {
            return;
        }
        while !hold.is_called() {
            if began.elapsed() > VIGIL {
                return;
            }
            // Not a yield: on a busy machine it would be for milliseconds.
            std::hint::spin_loop();
        }
        // What comes may be for others, and never end.
        if began.elapsed() > VIGIL {
            return;
        }
    }
}
