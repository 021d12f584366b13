use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The right to send the messages of one call, shared between the call's task and its handle.
///
/// Whoever takes `S` out speaks last: the task that has the answer, or the handle that is
/// cancelled. Sending happens under the lock, so once [`silence`](Self::silence) has returned no
/// message follows, and there is no flag to check and forget.
///
/// The lock is a blocking one because nothing awaits under it.
#[derive(Debug)]
pub struct Speaker<S>(Arc<Mutex<Option<S>>>);

impl<S> Clone for Speaker<S> {
    fn clone(&self) -> Self {
        Speaker(Arc::clone(&self.0))
    }
}

impl<S> Speaker<S> {
    /// The right to speak through `outlet`.
    pub fn new(outlet: S) -> Self {
        Speaker(Arc::new(Mutex::new(Some(outlet))))
    }

    /// Sends one message of several. Returns whether there still was somebody to speak for.
    pub fn say(&self, send: impl FnOnce(&mut S)) -> bool {
        self.lock().as_mut().map(send).is_some()
    }

    /// Sends the last message. Returns whether it was ours to send.
    pub fn say_last(&self, send: impl FnOnce(S)) -> bool {
        let mut outlet = self.lock();
        outlet.take().map(send).is_some()
    }

    /// Ends the right to speak. After this returns nothing more is sent. Returns whether there
    /// was anything to end.
    pub fn silence(&self) -> bool {
        let taken = self.lock().take();
        taken.is_some()
    }

    /// Whether nobody speaks any more.
    pub fn is_silent(&self) -> bool {
        self.lock().is_none()
    }

    // A panic while sending leaves the outlet as it was: the lock has no broken state to guard.
    fn lock(&self) -> MutexGuard<'_, Option<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
