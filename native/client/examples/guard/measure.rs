//! What is counted: everything between two marks, at each of which callgrind notes its counts.

use std::error::Error;
use std::hint::black_box;

use crate::allocations;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The paths that were asked for.
pub(crate) struct Paths(Vec<String>);

impl Paths {
    pub(crate) fn new(prefixes: Vec<String>) -> Self {
        Paths(prefixes)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Counts `times` runs of what does not wait, after as many to warm up.
    pub(crate) fn measure(&self, name: &str, times: u64, mut run: impl FnMut()) {
        if !self.wants(name) {
            return;
        }
        (0..times).for_each(|_| run());
        let counting = Counting::start();
        (0..times).for_each(|_| run());
        counting.stop(name, times);
    }
}

/// Counting, since `start`.
pub(crate) struct Counting {
    allocated: (u64, u64),
}

impl Counting {
    pub(crate) fn start() -> Self {
        let allocated = allocations::so_far();
        snakepit_guard_start();
        Counting { allocated }
    }

    /// Says what `operations` have cost.
    pub(crate) fn stop(self, name: &str, operations: u64) {
        snakepit_guard_stop();
        let (count, bytes) = allocations::so_far();
        let (count, bytes) = (count - self.allocated.0, bytes - self.allocated.1);
        println!("{name}\t{operations}\t{count}\t{bytes}");
    }
}

// Callgrind knows the marks by their names.
#[inline(never)]
fn snakepit_guard_start() {
    black_box("start");
}

#[inline(never)]
fn snakepit_guard_stop() {
    black_box("stop");
}
