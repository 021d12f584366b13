//! Where the `tracing` events of Snakepit's own crates go: through a bounded queue to one reader,
//! who passes them on to Elixir's Logger. Whoever has something to say never waits: when the queue
//! is full, events are counted and dropped.
//!
//! Below the level nothing happens at all: an event costs the load of an atomic. The events of
//! other crates are nobody's: what HTTP/2 says of its frames may be what handlers are called with.

mod event;
mod subscriber;

pub use event::Event;
pub use subscriber::{Events, install, set_level};
pub use tracing::Level;
pub use tracing::level_filters::LevelFilter;

/// The filter of a name as Elixir has it.
pub fn level_named(name: &str) -> Option<LevelFilter> {
    Some(match name {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warning" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// The name that Elixir's Logger has for a level.
pub fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    }
}
