use snakepit_protocol::pb::ExecuteResponse;

use crate::request::Message;
use crate::{CallError, Connection, Request};

/// Makes one unary call as an RPC of its own: for peers without a lane, and for arguments that
/// would hold up the lane. Dropping the future cancels the call.
pub async fn unary(
    connection: &Connection,
    request: Request,
) -> Result<ExecuteResponse, CallError> {
    let mut client = connection.client();
    let limit = request.time_limit();
    connection
        .until_closed(async move {
            let response = match request.into_message() {
                Message::Execute(message) => {
                    client.execute(connection.request_of(message, limit)?).await
                }
                Message::Session(message) => {
                    client.execute_in_session(connection.request_of(message, limit)?).await
                }
            };
            accept(response?.into_inner())
        })
        .await
}

/// Tells an error response from a result.
pub(crate) fn accept(response: ExecuteResponse) -> Result<ExecuteResponse, CallError> {
    if response.success {
        Ok(response)
    } else {
        Err(CallError::from_response(response.error, response.detail))
    }
}
