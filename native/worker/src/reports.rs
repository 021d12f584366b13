//! What the parent hears of a call past the call itself. What a handler says of its progress is told
//! by Python; who keeps the call as a job waits for the last of it, and is told here when that was.
//! And of a call that was cancelled it is told when its handler has ended, and how.

use std::sync::OnceLock;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use pyo3::prelude::*;

use crate::call::Head;
use crate::control::{json_string, tell_parent};
use crate::process::to_parent;

/// The metadata that a job has, as `lib/snakepit/jobs/runner.ex` knows it.
const JOB: &str = "snakepit-job";

/// So many reports of cancelled calls may wait to be written; of more, nothing is told.
const WAITING: usize = 256;

/// How a handler has heard of its cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// At its `yield`, or because it looked.
    Looked,
    /// By an exception that was raised where it stood.
    Raised,
    /// It ended without.
    Never,
    /// It went on, and ends with the process.
    InVain,
}

impl Head {
    /// Tells how long a cancelled handler took to end. Does not wait.
    pub(crate) fn report_cancelled(&self, time: Duration, heard: Heard) {
        if let Some(writer) = writer() {
            let _ = writer.try_send(self.cancellation(time, heard));
        }
    }

    /// The control line about it.
    pub(crate) fn cancellation(&self, time: Duration, heard: Heard) -> String {
        let how = match heard {
            Heard::Looked => "yield",
            Heard::Raised => "raised",
            Heard::Never => "finished",
            Heard::InVain => "killed",
        };
        format!(
            r#"{{"event":"cancelled","request_id":{},"command":{},"us":{},"how":"{how}"}}"#,
            json_string(&self.request_id),
            json_string(&self.command),
            time.as_micros()
        )
    }

    /// Tells that no more reports of this call come, if somebody waits for that.
    pub(crate) fn end_reports(&self, py: Python<'_>) {
        if !self.metadata.iter().any(|entry| entry.key == JOB) || !is_plain(&self.request_id) {
            return;
        }
        let id = &self.request_id;
        let line = format!(r#"{{"event":"progress","request_id":"{id}","over":true}}"#);
        // A parent that reads no more needs no news.
        let _ = py.detach(|| tell_parent(&line));
    }
}

/// Can it stand in JSON as it is? The ids of jobs can.
fn is_plain(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// What leads to the thread that writes reports, which begins with the first.
fn writer() -> Option<&'static Sender<String>> {
    static WRITER: OnceLock<Option<Sender<String>>> = OnceLock::new();
    let start = || {
        let (sender, lines) = bounded::<String>(WAITING);
        let thread = std::thread::Builder::new().name("snakepit-reports".to_owned());
        let write = move || while lines.recv().is_ok_and(|line| tell_parent(&line).is_ok()) {};
        // A worker that was started by hand has nobody to tell.
        to_parent()?;
        thread.spawn(write).ok()?;
        Some(sender)
    };
    WRITER.get_or_init(start).as_ref()
}
