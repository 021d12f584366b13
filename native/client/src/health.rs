use std::time::Duration;

use snakepit_protocol::pb::{HealthRequest, HealthResponse};

use crate::rpc::{Method, only};
use crate::{CallError, Connection};

/// What a worker says of itself.
pub type Health = HealthResponse;

/// Asks for a worker's health, on an RPC of its own: never behind calls or streams.
pub async fn health(connection: &Connection, timeout: Duration) -> Result<Health, CallError> {
    let asked =
        async { only(connection.rpcs().ask(Method::Health, HealthRequest {}, None).await?).await };
    connection
        .until_closed(async {
            match tokio::time::timeout(timeout, asked).await {
                Ok(health) => {
                    let health = health?;
                    connection.peer().answers();
                    Ok(health)
                }
                Err(_) => Err(CallError::DeadlineExceeded),
            }
        })
        .await
}
