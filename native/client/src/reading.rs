use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use socket2::SockRef;

/// How a connection is read at present. Whoever changes it, and whoever reads, holds the driver's lock.
pub(crate) struct Reading {
    /// About so many more bytes are read: the peer may send as fast as they are.
    appetite: AtomicUsize,
    /// The runtime hears of what comes. If not, somebody has to look for it.
    watched: AtomicBool,
    source: Mutex<Source>,
}

#[derive(Default)]
struct Source {
    /// Gone with the connection.
    socket: Weak<UnixStream>,
    /// Of what reads while nobody watches: one, or two when a connection takes over from another.
    readers: Vec<Waker>,
}

impl Reading {
    pub(crate) fn new() -> Self {
        Reading {
            appetite: AtomicUsize::new(usize::MAX),
            watched: AtomicBool::new(true),
            source: Mutex::default(),
        }
    }

    pub(crate) fn begins(&self, socket: &Arc<UnixStream>) {
        self.source().socket = Arc::downgrade(socket);
    }

    pub(crate) fn set_appetite(&self, bytes: usize) {
        self.appetite.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn is_sated(&self) -> bool {
        self.appetite.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn eat(&self, bytes: usize) {
        self.set_appetite(self.appetite.load(Ordering::Relaxed).saturating_sub(bytes));
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Wakes what reads if it has to begin to be watched.
    pub(crate) fn watch(&self, watched: bool) {
        if self.watched.swap(watched, Ordering::Relaxed) != watched && watched {
            self.rouse();
        }
    }

    /// To be roused when there is something to read.
    pub(crate) fn rests(&self, waker: &Waker) {
        let readers = &mut self.source().readers;
        if !readers.iter().any(|reader| reader.will_wake(waker)) {
            readers.push(waker.clone());
        }
    }

    /// Wakes what reads.
    pub(crate) fn rouse(&self) {
        let readers = std::mem::take(&mut self.source().readers);
        readers.into_iter().for_each(Waker::wake);
    }

    /// Whether there is something to read, be it the end.
    pub(crate) fn has_come(&self) -> bool {
        let Some(socket) = self.source().socket.upgrade() else {
            return true;
        };
        let peeked = SockRef::from(&*socket).peek(&mut [MaybeUninit::uninit()]);
        !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
