use std::time::Duration;

use snakepit_protocol::Credit;
use tokio::time::Instant;

/// What a stream has carried so far, and how long its consumer has held it up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    /// Chunks that were received.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks of the caller's own that were sent.
    pub sent: u64,
    /// When the first chunk came.
    pub first: Option<Instant>,
    /// How often the consumer held all that the peer may send, and does no longer.
    pub stalls: u64,
    /// How long these took together.
    pub stalled: Duration,
    /// Since when it does so now.
    pub stalled_since: Option<Instant>,
}

/// The credit a consumer grants, with a meter beside it: one lock, so that they always agree.
#[derive(Debug)]
pub(crate) struct Account {
    credit: Credit,
    meter: Meter,
}

impl Account {
    pub(crate) fn new(window: usize, max_buffer: usize) -> Self {
        Account { credit: Credit::new(window, max_buffer), meter: Meter::default() }
    }

    pub(crate) fn available(&self) -> bool {
        self.credit.available()
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        self.credit.spend(bytes);
        let meter = &mut self.meter;
        if meter.chunks == 0 {
            meter.first = Some(Instant::now());
        }
        meter.chunks += 1;
        meter.bytes += bytes as u64;
        if meter.stalled_since.is_none() && !self.credit.available() {
            meter.stalled_since = Some(Instant::now());
        }
    }

    /// Returns how long the peer could not send, if it can again.
    pub(crate) fn acknowledge(&mut self, chunks: usize) -> Option<Duration> {
        self.credit.acknowledge(chunks);
        if !self.credit.available() {
            return None;
        }
        let stall = self.meter.stalled_since.take()?.elapsed();
        self.meter.stalls += 1;
        self.meter.stalled += stall;
        Some(stall)
    }

    pub(crate) fn meter(&self) -> Meter {
        self.meter
    }
}
