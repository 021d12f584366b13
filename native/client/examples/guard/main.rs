//! The hot paths in Rust, each run for as often as it takes to count what it costs: see
//! `scripts/guard`, which runs this under callgrind and compares the counts with those it knows.
//!
//! `guard [PREFIX...]` runs the paths that begin with one of the prefixes, or all, and prints a line
//! for each: its name, how many operations were counted, and how often and how many bytes these
//! allocated. `guard --worker SOCKET` drives a worker instead.

mod allocations;
mod calls;
mod entries;
mod frames;
mod measure;
mod messages;
mod peer;
mod streams;
mod values;
mod worker;

use measure::{Failure, Paths};

// Everything on one thread, the peer too: it then happens in the same order every time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, socket] = args.as_slice()
        && mode == "--worker"
    {
        return worker::drive(socket).await;
    }
    let paths = Paths::new(args);
    values::run(&paths)?;
    messages::run(&paths)?;
    calls::run(&paths).await?;
    streams::run(&paths).await
}
