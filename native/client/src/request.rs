use std::time::Duration;

use snakepit_protocol::pb::{
    Codec, Entry, ExecuteRequest, LaneRequest, SessionRequest, StreamStart, lane_request,
};

/// What to run on a worker.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The command's name.
    pub command: String,
    /// The session to run it in.
    pub session_id: Option<String>,
    /// Names and encoded values.
    pub args: Vec<Entry>,
    /// How the values are encoded, and the answer's are to be.
    pub codec: Codec,
    /// Milliseconds the call may take; 0 means no limit.
    pub timeout_ms: u32,
    /// Names the call in the logs and errors of both sides.
    pub request_id: String,
    /// Free-form pairs for the handler.
    pub metadata: Vec<Entry>,
}

/// The two messages a [`Request`] can become, by whether it belongs to a session.
pub(crate) enum Message {
    Execute(ExecuteRequest),
    Session(SessionRequest),
}

impl Request {
    /// Bytes of the arguments, without the framing.
    pub fn args_size(&self) -> usize {
        self.args.iter().map(|entry| entry.size()).sum()
    }

    /// Bytes of all it holds, without the framing.
    pub(crate) fn size(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|entry| entry.size()).sum();
        let session_id = self.session_id.as_ref().map_or(0, String::len);
        self.args_size() + metadata + self.command.len() + self.request_id.len() + session_id
    }

    pub(crate) fn time_limit(&self) -> Option<Duration> {
        (self.timeout_ms > 0).then(|| Duration::from_millis(self.timeout_ms.into()))
    }

    pub(crate) fn into_message(self) -> Message {
        let timeout_ms = i32::try_from(self.timeout_ms).unwrap_or(i32::MAX);
        match self.session_id {
            None => Message::Execute(ExecuteRequest {
                command: self.command,
                args: self.args,
                timeout_ms,
                request_id: self.request_id,
                codec: self.codec.into(),
                metadata: self.metadata,
            }),
            Some(session_id) => Message::Session(SessionRequest {
                session_id,
                command: self.command,
                args: self.args,
                timeout_ms,
                request_id: self.request_id,
                codec: self.codec.into(),
                metadata: self.metadata,
            }),
        }
    }

    pub(crate) fn into_start(self) -> StreamStart {
        StreamStart {
            command: self.command,
            session_id: self.session_id.unwrap_or_default(),
            args: self.args,
            timeout_ms: i32::try_from(self.timeout_ms).unwrap_or(i32::MAX),
            request_id: self.request_id,
            codec: self.codec.into(),
            metadata: self.metadata,
            ..StreamStart::default()
        }
    }

    pub(crate) fn into_lane_request(self, id: u64) -> LaneRequest {
        let message = match self.into_message() {
            Message::Execute(request) => lane_request::Message::Execute(request),
            Message::Session(request) => lane_request::Message::Session(request),
        };
        LaneRequest { id, message: Some(message) }
    }
}
