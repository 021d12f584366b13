use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::meter::Account;
use crate::{Meter, Uplink};

/// What makes a stream wait for its consumer.
#[derive(Debug)]
pub enum Pace {
    /// The peer keeps credit: it never sends more than the window, and hears of every
    /// acknowledgement. So messages may be read at once, and the end of a worker is noticed even
    /// while its consumer is busy.
    Peer(Arc<Uplink>),
    /// The peer knows nothing of credit: messages are read only while there is some, which closes
    /// the HTTP/2 window behind them.
    Local(LocalPace),
}

/// The account for a peer that keeps none.
#[derive(Debug)]
pub struct LocalPace {
    account: Mutex<Account>,
    granted: Notify,
}

impl Pace {
    /// For a peer that keeps no credit: `window` chunks and `max_buffer` bytes may be read ahead.
    pub fn local(window: usize, max_buffer: usize) -> Self {
        let account = Mutex::new(Account::new(window, max_buffer));
        Pace::Local(LocalPace { account, granted: Notify::new() })
    }

    /// The consumer is done with `chunks` more. Returns how long it has held the peer up, if the
    /// peer may send again.
    pub fn acknowledge(&self, chunks: usize) -> Option<Duration> {
        match self {
            Pace::Peer(uplink) => uplink.acknowledge(chunks),
            Pace::Local(local) => {
                let stall = local.lock().acknowledge(chunks);
                local.granted.notify_one();
                stall
            }
        }
    }

    /// What has passed so far.
    pub fn meter(&self) -> Meter {
        match self {
            Pace::Peer(uplink) => uplink.meter(),
            Pace::Local(local) => local.lock().meter(),
        }
    }

    /// Whether one more message may be read now.
    pub(crate) fn available(&self) -> bool {
        match self {
            Pace::Peer(_) => true,
            Pace::Local(local) => local.lock().available(),
        }
    }

    /// Waits until one more message may be read. One task waits at a time.
    pub(crate) async fn wait(&self) {
        if let Pace::Local(local) = self {
            // `Notify` keeps one permit, so a grant between the check and the wait is not lost.
            while !self.available() {
                local.granted.notified().await;
            }
        }
    }

    /// A chunk of `bytes` was read.
    pub(crate) fn spend(&self, bytes: usize) {
        match self {
            Pace::Peer(uplink) => uplink.received(bytes),
            Pace::Local(local) => local.lock().spend(bytes),
        }
    }

    /// Waits until the peer may send: then its silence is its own.
    pub(crate) async fn peer_may_send(&self) {
        match self {
            Pace::Peer(uplink) => uplink.peer_may_send().await,
            Pace::Local(_) => self.wait().await,
        }
    }
}

impl LocalPace {
    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
