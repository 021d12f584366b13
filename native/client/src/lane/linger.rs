use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use std::time::Duration;

use snakepit_protocol::Habit;
use tokio::time::Instant;

use crate::connection::Closer;
use crate::driver::Hold;

/// A caller looks for its answer itself so long. Several times what waking a thread costs, so that
/// a handler that takes about nothing is done; far below a time slice of a scheduler.
const VIGIL: Duration = Duration::from_micros(50);

/// Lanes of this process that have calls.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// A caller that looks, and the worker that it waits for, take a processor each. With more lanes in use
/// than that they would take them from others.
static ROOM: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)));

/// A lane that has calls. It ends with the last handle of its connection, but not before its calls.
pub(crate) struct InUse {
    _connection: Arc<Closer>,
}

impl InUse {
    pub(crate) fn new(connection: Arc<Closer>) -> Self {
        IN_USE.fetch_add(1, Ordering::Relaxed);
        InUse { _connection: connection }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_crowded() -> bool {
    IN_USE.load(Ordering::Relaxed) > *ROOM
}

/// Whether the caller of a call looks for the answer itself, where the worker likely has it before
/// another thread could have been woken to look, and nobody else waits for anything.
#[derive(Debug, Default)]
pub(crate) struct Linger {
    /// Calls are alone.
    alone: Habit,
    /// The call that is looked for.
    id: Option<u64>,
}

impl Linger {
    /// A call is made. Says whether it is to be looked for.
    pub(crate) fn is_due(&mut self, alone: bool) -> bool {
        let alone = alone && !is_crowded();
        let usual = alone && self.alone.is_usual();
        self.alone.note(alone);
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
        if answered || !is_crowded() {
            self.alone.proved(answered);
        }
        answered
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
            if began.elapsed() > VIGIL || is_crowded() {
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
