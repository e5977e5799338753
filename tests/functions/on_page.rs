//! A handler of page calls, for AWS's own runtime client for Rust.

use std::fs::OpenOptions;
use std::io::Write as _;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handler)).await
}

async fn handler(event: LambdaEvent<Value>) -> Result<(), Error> {
    let (call, context) = event.into_parts();
    let custom = context.client_context.map(|client| client.custom);
    let seen = json!({ "call": call, "custom": custom, "request": context.request_id });
    let file = std::env::var_os("SEEN").ok_or("SEEN is not set")?;
    Ok(writeln!(OpenOptions::new().create(true).append(true).open(file)?, "{seen}")?)
}
