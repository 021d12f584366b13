//! What the parent asks of a worker that runs: lines on its standard input, of which the end means
//! that the parent has gone.

use crate::log;

/// A longer line is none of ours.
const MOST: usize = 256;

/// The line that is being read.
#[derive(Default)]
pub(crate) struct Orders(Vec<u8>);

impl Orders {
    /// Takes what was read, and obeys the lines that are complete. Does not block.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    obey(&String::from_utf8_lossy(&self.0));
                    self.0.clear();
                }
                byte if self.0.len() < MOST => self.0.push(*byte),
                _ => {}
            }
        }
    }
}

fn obey(order: &str) {
    if let Some(level) = order.strip_prefix("log_level ") {
        log::order_level(level);
    }
}
