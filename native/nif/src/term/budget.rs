use snakepit_protocol::value::ValueError;

/// What encoding may cost before it is better done elsewhere: about so many terms, a term of `n`
/// bytes counting `n / BYTES_PER_UNIT` more. Some 20 to 50 ns each, so below 1 ms.
const SLICE: usize = 16_000;
const BYTES_PER_UNIT: usize = 128;

/// Why terms were not encoded.
pub(crate) enum Stop {
    /// They are more than one time slice of a scheduler should bear.
    Budget,
    /// Some part of them cannot travel.
    Value(ValueError),
}

impl From<ValueError> for Stop {
    fn from(error: ValueError) -> Self {
        Stop::Value(error)
    }
}

/// What is left of a time slice, for all that one call of a NIF encodes.
pub(crate) struct Budget(usize);

impl Budget {
    /// That of one time slice when `bounded`; on a dirty scheduler time does not matter.
    pub(crate) fn new(bounded: bool) -> Self {
        Budget(if bounded { SLICE } else { usize::MAX })
    }

    /// Pays for a term of so many bytes.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        self.0 = self.0.checked_sub(1 + bytes / BYTES_PER_UNIT).ok_or(Stop::Budget)?;
        Ok(())
    }

    /// The most terms that are within it.
    pub(super) fn terms(&self) -> usize {
        self.0
    }
}
