use std::fmt;

/// One step from a value into what it contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The value under this key of a map.
    Key(String),
    /// The element at this index of a list.
    Index(usize),
}

/// Why a value cannot travel, and where in the whole it stands.
///
/// The path is gathered while the error returns through the walk, so that a value without an
/// error pays nothing for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ValueError {
    problem: String,
    innermost_first: Vec<Segment>,
}

impl ValueError {
    /// An error at the value itself.
    pub fn new(problem: impl Into<String>) -> Self {
        ValueError { problem: problem.into(), innermost_first: Vec::new() }
    }

    /// Nesting beyond [`MAX_DEPTH`](super::MAX_DEPTH).
    pub fn too_deep() -> Self {
        ValueError::new(format!(
            "values nested more than {} deep cannot be sent; does it contain itself?",
            super::MAX_DEPTH
        ))
    }

    /// The same error seen from the map that holds the value under `key`.
    #[must_use]
    pub fn at_key(mut self, key: impl Into<String>) -> Self {
        self.innermost_first.push(Segment::Key(key.into()));
        self
    }

    /// The same error seen from the list that holds the value at `index`.
    #[must_use]
    pub fn at_index(mut self, index: usize) -> Self {
        self.innermost_first.push(Segment::Index(index));
        self
    }

    /// The error as a sentence; `root` names the whole value (`args`, `result`, `chunk`).
    pub fn describe(&self, root: &str) -> String {
        format!("{root}{self}")
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in self.innermost_first.iter().rev() {
            match segment {
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.problem)
    }
}
