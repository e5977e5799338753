//! Requests to AWS Lambda, through the clients of production.

use std::time::Duration;

use aws_sdk_lambda::types::InvocationType;

use crate::destinations::class::Class;
use crate::destinations::invoke::Invoked;
use crate::destinations::lambda_function::{Clients, failed};
use crate::destinations::outcome::Failure;
use crate::sources::SourceId;
use crate::words::Told;

/// Asks whether a function could be invoked, without running it. Returns the status of the answer.
pub(crate) async fn dry_run(
    clients: &dyn Clients,
    source: &SourceId,
    function: &str,
    timeout: Duration,
) -> Result<u16, Failure> {
    let client = clients.client(source, function).map_err(|what| Failure {
        class: Class::InvalidCredentials,
        what: Told::plain(what),
        retry_after: None,
    })?;
    let request = client.invoke().function_name(function).invocation_type(InvocationType::DryRun);
    match tokio::time::timeout(timeout, request.send()).await {
        Err(_) => Invoked::timed_out(timeout).result.map(|()| 0),
        Ok(Ok(answer)) => Ok(u16::try_from(answer.status_code()).unwrap_or(0)),
        Ok(Err(error)) => Err(failed(&error)),
    }
}
