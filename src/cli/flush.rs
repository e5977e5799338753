//! `forebay flush`: seal and deliver now what a running collector has buffered.

use std::io::Write;
use std::time::Duration;

use http::Method;

use crate::admin::FlushOutcome;
use crate::admin::server::FLUSH_WAIT;

use super::admin_client::{AskError, ask};
use super::args::FlushArgs;

/// Longer than the collector waits for its deliveries.
const PATIENCE: Duration = FLUSH_WAIT.saturating_add(Duration::from_secs(10));

/// Asks for a flush and prints what became of it. `Ok` also where something is still pending: the outcome says so, and
/// the command should then fail.
///
/// # Errors
/// [`AskError`].
pub async fn run(args: &FlushArgs, out: &mut dyn Write) -> Result<FlushOutcome, AskError> {
    let path = match &args.source {
        // A source id has no character that a query would need to escape.
        Some(id) => format!("/api/flush?source={id}"),
        None => "/api/flush".to_owned(),
    };
    let outcome: FlushOutcome = ask(&args.admin.url, Method::POST, &path, PATIENCE).await?;
    let printed = if args.json {
        serde_json::to_writer(&mut *out, &outcome).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        writeln!(out, "{}", render(&outcome))
    };
    printed.map_err(AskError::Print)?;
    Ok(outcome)
}

/// The outcome in one line.
pub fn render(outcome: &FlushOutcome) -> String {
    let FlushOutcome { sealed, delivered, pending } = outcome;
    match (sealed, pending) {
        (0, 0) => "nothing was buffered".to_owned(),
        (_, 0) => format!("objects: {sealed} sealed, {delivered} delivered"),
        _ => format!(
            "objects: {sealed} sealed, {delivered} delivered, {pending} still on the way: `forebay status` says what they \
             wait for"
        ),
    }
}
