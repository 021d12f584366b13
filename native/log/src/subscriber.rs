use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Metadata, Subscriber, callsite};

use crate::Event;

/// So many events may wait to be read.
const WAITING: usize = 1024;

/// The place of the level in [`FILTERS`].
static LEVEL: AtomicUsize = AtomicUsize::new(2);

const FILTERS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

/// The events that wait to be read.
#[derive(Debug)]
pub struct Events {
    queue: Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

/// From now on the events of the crates with these names wait to be read. `None` when this
/// process has a subscriber already.
pub fn install(crates: &'static [&'static str]) -> Option<Events> {
    let (sender, queue) = bounded(WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let log = Log { crates, queue: sender, dropped: Arc::clone(&dropped) };
    set_global_default(log).ok()?;
    Some(Events { queue, dropped })
}

/// Events above this level are not made from now on.
pub fn set_level(level: LevelFilter) {
    let place = FILTERS.iter().position(|filter| *filter == level).unwrap_or_default();
    LEVEL.store(place, Ordering::Relaxed);
    callsite::rebuild_interest_cache();
}

fn level() -> LevelFilter {
    FILTERS[LEVEL.load(Ordering::Relaxed).min(FILTERS.len() - 1)]
}

impl Events {
    /// Waits for the next events: one, and what stands behind it, `most` at most.
    pub fn next(&self, most: usize) -> Vec<Event> {
        let mut events: Vec<_> = self.queue.recv().into_iter().collect();
        events.extend(self.queue.try_iter().take(most.saturating_sub(1)));
        events
    }

    /// How many events were dropped since this was last asked.
    pub fn dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

struct Log {
    crates: &'static [&'static str],
    queue: Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Log {
    fn is_ours(&self, metadata: &Metadata<'_>) -> bool {
        let name = metadata.target().split("::").next().unwrap_or_default();
        metadata.is_event() && self.crates.contains(&name)
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level())
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= level() && self.is_ours(metadata)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        // Before it is made: a queue that stays full is to cost nothing.
        if self.queue.is_full() || self.queue.try_send(Event::of(event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    // There are no spans of ours, and those of others are not asked for.
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
