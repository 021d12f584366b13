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

/// So soon somebody comes again after the last has taken an answer, if others may rely on that: to be
/// told by the runtime would take them about as long.
const SOON: Duration = Duration::from_micros(30);

/// ... and only that late at the latest.
const LATE: Duration = Duration::from_micros(150);

/// Who is told has to be given a processor too, for which callers then wait anyway.
const HELD_UP: Duration = Duration::from_micros(500);

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

/// Who else has calls when one is made that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Nobody.
    None,
    /// Others, who wait for their answers.
    Waits,
    /// Others, of whom some have theirs, and are expected to come again.
    Comes,
}

/// Whether callers look for their answers themselves, where the worker likely has them before another
/// thread could have been woken to look.
///
/// One that is alone does. Of many the last does, when all wait; it finds answers of others with its
/// own, and whoever comes for one of those goes on in its place. So none of them may be long: what
/// answers come until then is not seen, but for the runtime's look after a while.
#[derive(Debug)]
pub(crate) struct Linger {
    /// Calls are alone, and answered while they are looked for.
    alone: Habit,
    /// Callers that come together are soon back, and some are answered while one looks.
    together: Habit,
    /// The call that is looked for.
    sought: Option<u64>,
    /// Counts the calls whose callers are told.
    told: u64,
    /// Since when those who were told while somebody looked are waited for.
    told_at: Option<Instant>,
    /// Since when nobody is waited for, while others rely on somebody to come.
    absent: Option<Instant>,
}

impl Default for Linger {
    fn default() -> Self {
        let (alone, together) = (Habit::default(), Habit::wary());
        Linger { alone, together, sought: None, told: 0, told_at: None, absent: None }
    }
}

impl Linger {
    /// A call is to be sent. Says whether it is to be looked for.
    pub(crate) fn is_due(&mut self, company: Company) -> bool {
        let room = !is_crowded();
        let alone = room && company == Company::None;
        let usual = self.alone.is_usual();
        self.alone.note(alone);
        if company == Company::None { alone && usual } else { room && self.together.is_usual() }
    }

    /// Whether callers who come together look for each other's answers.
    pub(crate) fn is_shared(&self) -> bool {
        self.together.is_usual() && !is_crowded()
    }

    /// Nobody is expected any more, and others wait.
    pub(crate) fn leaves(&mut self) {
        // Not anew: somebody may have been told late because nobody came.
        self.absent.get_or_insert_with(Instant::now);
    }

    /// Nobody has come since who sees what has come.
    pub(crate) fn is_awaited(&self) -> bool {
        self.absent.is_some()
    }

    /// A caller is here.
    pub(crate) fn comes(&mut self) {
        let soon = self.absent.map(|since| since.elapsed() < SOON);
        match (self.was_late(), soon) {
            (false, Some(soon)) if self.together.is_usual() => self.together.proved(soon),
            (false, Some(_)) => self.together.note(true),
            _ => {}
        }
    }

    /// Nobody has a call any more.
    pub(crate) fn rests(&mut self) {
        self.was_late();
    }

    /// Whether whoever was waited for has kept others waiting.
    fn was_late(&mut self) -> bool {
        let held_up = self.told_at.take().is_some_and(|since| since.elapsed() > HELD_UP);
        let late = self.absent.take().is_some_and(|since| since.elapsed() > LATE) || held_up;
        if late && self.together.is_usual() {
            self.together.did_harm();
        } else if late {
            self.together.note(false);
        }
        late
    }

    /// Gives what `end` wants to know.
    pub(crate) fn begin(&mut self, id: u64) -> u64 {
        self.sought = Some(id);
        self.told
    }

    /// A call is answered. Says whether it is the one that is looked for, which is over then: the
    /// callers of others are told.
    pub(crate) fn finds(&mut self, id: u64) -> bool {
        let found = self.sought.take_if(|own| *own == id).is_some();
        self.told = self.told.wrapping_add(u64::from(!found));
        found
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sought.is_none()
    }

    /// The call was looked for. Says whether its answer was found.
    pub(crate) fn end(&mut self, company: Company, told_before: u64) -> bool {
        let answered = self.sought.take().is_none();
        let told = self.told != told_before;
        let found = answered || told;
        match company {
            Company::None if found || !is_crowded() => self.alone.proved(answered),
            Company::Waits if found || !is_crowded() => self.together.proved(found),
            // It was only looked at on the way.
            Company::Comes if found => self.together.proved(true),
            _ => {}
        }
        if told && company != Company::None {
            self.told_at.get_or_insert_with(Instant::now);
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
