//! What the worker itself has to say, as control lines that its parent makes events of its Logger.
//! A thread of its own writes them, so nobody waits for a parent that is slow to read.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use snakepit_log::{Event, Events, install, level_named, name_of, set_level};

use crate::control::{json_string, tell_parent};

/// At most so many events are taken from the queue at a time.
const BATCH: usize = 64;

/// Has the events of this library told to the parent.
pub(crate) fn forward() {
    if let Some(events) = install(&["_native"]) {
        let thread = std::thread::Builder::new().name("snakepit-log".to_owned());
        // Without a thread they are counted, and that is all.
        let _ = thread.spawn(move || while tell(&events).is_ok() {});
    }
}

fn tell(events: &Events) -> std::io::Result<()> {
    for event in events.next(BATCH) {
        tell_parent(&line(&event))?;
    }
    match events.dropped() {
        0 => Ok(()),
        count => tell_parent(&format!(r#"{{"event":"log_dropped","count":{count}}}"#)),
    }
}

fn line(event: &Event) -> String {
    let mut line = format!(
        r#"{{"event":"log","level":"{}","logger":"snakepit","message":{}"#,
        name_of(event.level),
        json_string(&event.message)
    );
    for (key, value) in [("request_id", &event.request_id), ("command", &event.command)] {
        if let Some(value) = value {
            line.push_str(&format!(r#","{key}":{}"#, json_string(value)));
        }
    }
    line.push('}');
    line
}

/// Sets from which level on the worker's own events are told: "off", "error", "warning", "info",
/// "debug" or "trace".
#[pyfunction]
pub(crate) fn set_log_level(name: &str) -> PyResult<()> {
    match level_named(name) {
        Some(level) => set_level(level),
        None => return Err(PyValueError::new_err(format!("there is no level {name:?}"))),
    }
    Ok(())
}

/// The parent wants this level, of the worker's own events and of Python's. Does not wait for the
/// interpreter: whoever calls this has to notice when the parent goes.
pub(crate) fn order_level(name: &str) {
    static WANTED: Mutex<Option<String>> = Mutex::new(None);
    let wanted = || WANTED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(level) = level_named(name) else {
        return;
    };
    set_level(level);
    if wanted().replace(name.to_owned()).is_some() {
        // Somebody waits for the interpreter already, and sees what is wanted by then.
        return;
    }
    let thread = std::thread::Builder::new().name("snakepit-level".to_owned());
    let _ = thread.spawn(move || {
        Python::attach(|py| {
            let Some(name) = wanted().take() else {
                return;
            };
            let logs = py.import("snakepit_bridge._logs");
            if let Err(error) = logs.and_then(|logs| logs.call_method1("set_level", (name,))) {
                error.print(py);
            }
        });
    });
}
