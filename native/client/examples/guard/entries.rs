//! The values that the paths carry.

use snakepit_protocol::pb::Entry;
use snakepit_protocol::value::Writer;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// A map of one binary under `data`.
pub(crate) fn data(size: usize) -> Vec<Entry> {
    let mut writer = Writer::new();
    writer.binary(&vec![0xff; size]);
    vec![Entry::new("data", writer.take())]
}
