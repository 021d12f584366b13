use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use pyo3::prelude::*;

use crate::call::Head;
use crate::pace::Pace;

/// How a handler is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Command,
    Stream,
    ClientStream,
    BidiStream,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "command" => Kind::Command,
            "stream" => Kind::Stream,
            "client_stream" => Kind::ClientStream,
            "bidi_stream" => Kind::BidiStream,
            _ => return None,
        })
    }

    /// The function of the Elixir facade that calls such a handler.
    pub(crate) fn caller(self) -> &'static str {
        match self {
            Kind::Command => "execute",
            Kind::Stream => "execute_stream",
            Kind::ClientStream => "execute_client_stream",
            Kind::BidiStream => "execute_bidi_stream",
        }
    }

    /// As the decorator is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Command => "command",
            Kind::Stream => "stream",
            Kind::ClientStream => "client_stream",
            Kind::BidiStream => "bidi_stream",
        }
    }
}

/// A registered handler, as the Python dispatcher describes it.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) kind: Kind,
    pub(crate) is_async: bool,
    pub(crate) main_thread: bool,
    pub(crate) entry: Py<PyAny>,
    /// `entry.invoke`, bound once.
    pub(crate) invoke: Py<PyAny>,
    pub(crate) pace: Pace,
}

impl Handler {
    /// The entry that is to serve a call: one that belongs to a trace continues it.
    pub(crate) fn entry_for<'py>(
        &self,
        py: Python<'py>,
        head: &Head,
    ) -> PyResult<Bound<'py, PyAny>> {
        let entry = self.entry.bind(py);
        if head.is_traced() { entry.call_method0("traced") } else { Ok(entry.clone()) }
    }

    /// Its `invoke`.
    pub(crate) fn invoke_for<'py>(
        &self,
        py: Python<'py>,
        head: &Head,
    ) -> PyResult<Bound<'py, PyAny>> {
        if head.is_traced() {
            self.entry_for(py, head)?.getattr("invoke")
        } else {
            Ok(self.invoke.bind(py).clone())
        }
    }
}

/// The Python dispatcher, with what it knows of each command kept at hand: looking it up takes
/// the GIL, and where a call is to run must be known before.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    object: Py<PyAny>,
    known: RwLock<HashMap<String, Arc<Handler>>>,
}

impl Dispatcher {
    pub(crate) fn new(object: Bound<'_, PyAny>) -> PyResult<Self> {
        let dispatcher = Dispatcher { object: object.clone().unbind(), known: RwLock::default() };
        for name in object.call_method0("commands")?.extract::<Vec<String>>()? {
            dispatcher.find(object.py(), &name)?;
        }
        Ok(dispatcher)
    }

    /// The handler if it is known already.
    pub(crate) fn known(&self, command: &str) -> Option<Arc<Handler>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(command).cloned()
    }

    /// The handler, also when it was registered after the start; else `UnknownCommand`.
    pub(crate) fn find(&self, py: Python<'_>, command: &str) -> PyResult<Arc<Handler>> {
        if let Some(handler) = self.known(command) {
            return Ok(handler);
        }
        let entry = self.object.bind(py).call_method1("find", (command,))?;
        let kind: String = entry.getattr("kind")?.extract()?;
        let kind = Kind::parse(&kind).ok_or_else(|| {
            pyo3::exceptions::PyValueError::new_err(format!("a handler of kind {kind:?}"))
        })?;
        let handler = Arc::new(Handler {
            kind,
            is_async: entry.getattr("is_async")?.extract()?,
            main_thread: entry.getattr("main_thread")?.extract()?,
            invoke: entry.getattr("invoke")?.unbind(),
            entry: entry.unbind(),
            pace: Pace::default(),
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(command.to_owned(), Arc::clone(&handler));
        Ok(handler)
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = known.keys().cloned().collect();
        names.sort();
        names
    }

    /// `(kind, python_type, message, traceback, retryable)` of an exception.
    pub(crate) fn describe(
        &self,
        py: Python<'_>,
        error: &PyErr,
    ) -> PyResult<(String, String, String, String, bool)> {
        // Unlike `value`, which leaves the traceback behind before Python 3.12.
        let exception = error.clone_ref(py).into_value(py);
        self.object.bind(py).call_method1("describe_error", (exception,))?.extract()
    }

    /// The asyncio loop of this worker; made, with its thread, for the first async handler.
    pub(crate) fn async_runner<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.object.bind(py).call_method0("async_runner")
    }

    /// Runs the `on_stop` hooks.
    pub(crate) fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.object.bind(py).call_method0("stop").map(drop)
    }
}
