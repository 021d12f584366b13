use std::fmt::{self, Write};

use tracing::Level;
use tracing::field::{Field, Visit};

/// A longer text is cut, which bounds the queue in bytes too.
const MOST: usize = 2048;

/// Something that one of our crates has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// How grave it is.
    pub level: Level,
    /// The module it comes from.
    pub target: &'static str,
    /// What happened, with the fields that have no place of their own.
    pub message: String,
    /// The worker it is about.
    pub worker_id: Option<String>,
    /// The call it is about.
    pub request_id: Option<String>,
    /// The command of that call.
    pub command: Option<String>,
}

impl Event {
    pub(crate) fn of(event: &tracing::Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut made = Event {
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            worker_id: None,
            request_id: None,
            command: None,
        };
        let mut fields = Fields { event: &mut made, others: String::new() };
        event.record(&mut fields);
        let others = fields.others;
        made.message.push_str(&others);
        made
    }
}

struct Fields<'a> {
    event: &'a mut Event,
    others: String,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let slot = match field.name() {
            "message" => return write_cut(&mut self.event.message, value),
            "worker_id" => &mut self.event.worker_id,
            "request_id" => &mut self.event.request_id,
            "command" => &mut self.event.command,
            name => {
                write_cut(&mut self.others, &format_args!(", {name}: {value:?}"));
                return;
            }
        };
        let mut text = String::new();
        write_cut(&mut text, value);
        // A call that was given no id has none to be found by.
        *slot = (!text.is_empty()).then_some(text);
    }
}

fn write_cut(text: &mut String, value: &dyn fmt::Debug) {
    // An error means that it was cut.
    let _ = write!(Cut(text), "{value:?}");
}

/// Takes no more than [`MOST`] bytes.
struct Cut<'a>(&'a mut String);

impl Write for Cut<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MOST.saturating_sub(self.0.len());
        if part.len() <= room {
            self.0.push_str(part);
            return Ok(());
        }
        self.0.push_str(&part[..part.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}
