//! Control lines: what the worker tells its parent beside the text that user code prints.

use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use crate::process::{is_forked, to_parent};

/// So much at a time is written to a pipe without anything of another writer in between.
const FRAME: usize = 4096 - 3;

/// A process that is about to end waits so long for its last words to be taken.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Tells the parent something: a control line, which begins with the byte 0x1e. One that is too
/// long to be written at once goes in pieces, all but the last marked by a `+`: whatever else is
/// printed meanwhile comes before or after a piece.
pub(crate) fn tell_parent(json: &str) -> io::Result<()> {
    static WRITING: Mutex<()> = Mutex::new(());
    let pieces = json.as_bytes().chunks(FRAME);
    let last = pieces.len().saturating_sub(1);
    // In a forked child nobody may be left to give the lock back.
    let _writing = (!is_forked()).then(|| WRITING.lock().unwrap_or_else(PoisonError::into_inner));
    for (index, piece) in pieces.enumerate() {
        let start: &[u8] = if index == last { b"\x1e" } else { b"\x1e+" };
        let line = [start, piece, b"\n"].concat();
        match to_parent() {
            Some(mut pipe) => pipe.write_all(&line)?,
            None => io::stdout().write_all(&line)?,
        }
    }
    Ok(())
}

/// Writes a control line, given as a JSON object with the key `event`. Raises OSError when the
/// parent does not read any more.
#[pyfunction]
#[pyo3(name = "tell_parent")]
pub(crate) fn tell_parent_py(py: Python<'_>, json: &str) -> PyResult<()> {
    // The parent may be slow to read.
    py.detach(|| tell_parent(json)).map_err(Into::into)
}

/// Has the parent log a warning after `report`, before the process ends. Returns also when nobody
/// reads it.
pub(crate) fn last_words(report: String, warning: &str, request_id: &str) {
    let event = format!(
        "{{\"event\":\"log\",\"level\":\"warning\",\"logger\":\"snakepit\",\
         \"request_id\":{},\"message\":{}}}",
        json_string(request_id),
        json_string(warning)
    );
    let (sender, written) = sync_channel(1);
    let writing = std::thread::Builder::new().spawn(move || {
        let _ = tell_parent(&report).and_then(|()| tell_parent(&event));
        let _ = sender.send(());
    });
    if writing.is_ok() {
        let _ = written.recv_timeout(LAST_WORDS);
    }
}

pub(crate) fn json_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
