//! `forebay find`: where calls are now, as far as a running collector has them or delivered them lately.

use std::io::Write;
use std::time::Duration;

use http::{Method, StatusCode};

use super::args::FindArgs;
use super::failure::Failure;
use super::print_json::print_either;
use crate::admin::Found;
use crate::admin_client::AskError;
use crate::runtime::SystemClock;
use crate::time::Clock as _;

/// The time limit for the answer: longer than a search takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks for calls, and prints where they are.
/// Errors: [`Failure`] if none was found, or the collector does not answer.
pub async fn run(args: &FindArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let client = args.admin.client()?;
    let found: Found = match client.ask(Method::GET, &args.asked().path(), PATIENCE).await {
        Err(AskError::Refused { url, status: StatusCode::NOT_FOUND, code, .. }) if code == "not_found" => {
            return Err(Failure::failed(format!(
                "{url} cannot search: the collector is older than this command"
            )));
        }
        found => found?,
    };
    print_either(out, args.json, &found, || found.text(SystemClock::new().wall().0))?;
    match found.calls.is_empty() {
        true => Err(Failure::failed("no such call was found")),
        false => Ok(()),
    }
}
