use bytes::BytesMut;
use prost::Message as _;
use snakepit_protocol::MESSAGE_OVERHEAD;
use snakepit_protocol::pb::{ExecuteResponse, LanePart};

use crate::CallError;

/// A large reply, as far as it has come.
#[derive(Default)]
pub(crate) struct Parts(BytesMut);

impl Parts {
    /// Adds a part to a reply whose values have at most `limit` bytes.
    pub(crate) fn add(&mut self, part: &LanePart, limit: usize) -> Result<(), CallError> {
        let size = usize::try_from(part.size).unwrap_or(usize::MAX);
        if size.max(self.0.len() + part.data.len()) > limit.saturating_add(MESSAGE_OVERHEAD) {
            return Err(CallError::TooLarge(format!("a reply of over {limit} bytes")));
        }
        // At once: grown bit by bit it would be copied, and take its memory twice, again and again.
        self.0.reserve(size);
        self.0.extend_from_slice(&part.data);
        Ok(())
    }

    /// The reply that they are the parts of.
    pub(crate) fn whole(self) -> Result<ExecuteResponse, CallError> {
        let whole = ExecuteResponse::decode(self.0.freeze());
        whole.map_err(|error| CallError::Protocol(error.to_string()))
    }
}
