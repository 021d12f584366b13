//! What becomes of a handler whose call was cancelled: it is told, it has time to end, and if it
//! does not, the worker ends, because nothing else stops it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use crate::call::CallState;
use crate::calls::Calls;
use crate::reports::Heard;
use crate::{control, process};

/// A handler on a thread is given so long to come to its next `yield`, or to look for its
/// cancellation itself, before `Cancelled` is raised in it where it stands.
const POLITE_GRACE: Duration = Duration::from_millis(15);

/// The grace time passes in so many steps, and only while Python code can run: the handler needs
/// the GIL to end, and it may be another one that holds it.
const STEPS: u32 = 4;

/// After so many steps a handler that was interrupted is interrupted once more.
const INSIST: u32 = STEPS - 1;

/// For so many grace times a handler that nobody has cancelled may hold the GIL in C code while a
/// cancelled one waits for it: nothing is known against it. A worker in which no Python code runs
/// for longer than that is of no use to anybody.
const HELD: u32 = 10;

/// Stops the handler of a call. Does not block.
pub(crate) fn stop(calls: &Arc<Calls>, call: &Arc<CallState>, on_thread: bool) {
    let (command, request_id) = (call.head.command.as_str(), call.head.request_id.as_str());
    debug!(command, request_id, "the call is cancelled, and its handler still runs");
    let stopping = Stopping { calls: Arc::clone(calls), call: Arc::clone(call) };
    calls.runtime.spawn(stopping.run(on_thread));
}

struct Stopping {
    calls: Arc<Calls>,
    call: Arc<CallState>,
}

impl Stopping {
    async fn run(self, on_thread: bool) {
        if on_thread {
            sleep(POLITE_GRACE).await;
        }
        self.turn(CallState::interrupt).await;
        for step in 1..=STEPS {
            if !self.call.runs() {
                return;
            }
            sleep(self.calls.cancel_grace / STEPS).await;
            match step {
                INSIST => {
                    self.log_patience();
                    self.turn(CallState::insist).await;
                }
                _ => self.turn(|_call, _py| {}).await,
            }
        }
        if self.call.runs() {
            self.give_up("went on");
        }
    }

    /// Does something under the GIL, once it can be had. Whoever holds it for ever costs the
    /// process: after the grace time when only cancelled handlers can be to blame.
    async fn turn(&self, errand: fn(&CallState, Python<'_>)) {
        if !self.call.runs() {
            return;
        }
        let call = Arc::clone(&self.call);
        let mut done = self.calls.errands.run(move |py| errand(&call, py));
        let grace = self.calls.cancel_grace;
        if timeout(grace, &mut done).await.is_ok() {
            return;
        }
        let blameless = !self.calls.all_cancelled_for(grace);
        if blameless && timeout(grace.saturating_mul(HELD - 1), &mut done).await.is_ok() {
            return;
        }
        if self.call.runs() {
            self.give_up("could not run, because the interpreter was held,");
        }
    }

    fn log_patience(&self) {
        if let (true, Some(time)) = (self.call.runs(), self.call.cancelled_for()) {
            let (command, request_id) = (&*self.call.head.command, &*self.call.head.request_id);
            let time = time.as_millis();
            info!(command, request_id, "the handler goes on, {time} ms after its cancellation");
        }
    }

    fn give_up(&self, what: &str) {
        let CallState { head, .. } = &*self.call;
        let time = self.call.cancelled_for().unwrap_or_default();
        let message = format!(
            "{} {what} for {} ms after its cancellation; worker {} ends, and is replaced",
            head.command,
            time.as_millis(),
            self.calls.worker_id()
        );
        let report = head.cancellation(time, Heard::InVain);
        control::last_words(report, &message, &head.request_id);
        process::end_group();
    }
}
