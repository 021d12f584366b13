//! What a handler says of its progress goes to the parent's side of the output, past the call. Who
//! keeps the call as a job waits for the last of it, and is told here when that was.

use pyo3::prelude::*;

use crate::call::Head;
use crate::control::tell_parent;

/// The metadata that a job has, as `lib/snakepit/jobs/runner.ex` knows it.
const JOB: &str = "snakepit-job";

impl Head {
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
