use snakepit_protocol::pb::ExecuteResponse;

use crate::request::Message;
use crate::rpc::{Method, only};
use crate::{CallError, Connection, Request};

/// Makes one unary call as an RPC of its own: for peers without a lane, and for arguments that
/// would hold up the lane. Dropping the future cancels the call.
pub async fn unary(
    connection: &Connection,
    request: Request,
) -> Result<ExecuteResponse, CallError> {
    let (rpcs, limit) = (connection.rpcs(), request.time_limit());
    connection
        .until_closed(async move {
            let response = match request.into_message() {
                Message::Execute(message) => {
                    rpcs.ask(Method::Execute, connection.checked(message)?, limit).await
                }
                Message::Session(message) => {
                    rpcs.ask(Method::ExecuteInSession, connection.checked(message)?, limit).await
                }
            };
            accept(only(response?).await?)
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
