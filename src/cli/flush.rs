//! `forebay flush`: delivers everything that a running collector has buffered, without delay.

use std::io::Write;
use std::time::Duration;

use http::Method;

use crate::admin::FlushOutcome;
use crate::admin::server::FLUSH_WAIT;

use super::args::FlushArgs;
use super::print_json::print_either;
use crate::admin_client::AskError;

/// The time limit for the answer: longer than the collector waits for its deliveries.
const PATIENCE: Duration = FLUSH_WAIT.saturating_add(Duration::from_secs(10));

/// Requests a flush and prints its outcome. Returns `Ok` even if something is still pending; the command
/// should then fail. Errors: [`AskError`]: the collector does not answer, or refuses.
pub async fn run(args: &FlushArgs, out: &mut dyn Write) -> Result<FlushOutcome, AskError> {
    let path = match &args.source {
        // A source id has no character that must be escaped in a query.
        Some(id) => format!("/api/flush?source={id}"),
        None => "/api/flush".to_owned(),
    };
    let outcome: FlushOutcome = args.admin.client()?.ask(Method::POST, &path, PATIENCE).await?;
    print_either(out, args.json, &outcome, || render(&outcome) + "\n").map_err(AskError::Print)?;
    Ok(outcome)
}

/// The outcome in one line.
pub fn render(outcome: &FlushOutcome) -> String {
    let FlushOutcome { sealed, delivered, pending } = outcome;
    match (sealed, pending) {
        (0, 0) => "nothing was buffered".to_owned(),
        (_, 0) => format!("objects: {sealed} sealed, {delivered} delivered"),
        _ => format!(
            "objects: {sealed} sealed, {delivered} delivered, {pending} still pending: `forebay status` shows what they \
             wait for"
        ),
    }
}
