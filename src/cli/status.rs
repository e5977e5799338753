//! `forebay status`: the state of a running collector: problems, spool, waiting calls, latest deliveries.

pub mod activity;
pub mod render;
mod watch;

use std::io::{self, Write};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::args::StatusArgs;
use super::failure::Failure;
use super::paint::painted;
use super::print_json::print_json;
use super::terminal;
use crate::admin::Status;
use crate::admin_client::{AdminClient, AskError};
use crate::runtime::{SystemClock, colour};
use crate::sources::SourceId;
use crate::time::Clock as _;

use activity::{Activity, History, Snapshots};
use render::{MARKS, View, render};

const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of a terminal that the shell needs: its prompt, and the command.
const PROMPT_ROWS: usize = 2;

/// Queries the status and prints it, once or until it is interrupted.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut collector = Collector::new(args.admin.client()?);
    if args.watch {
        return watch::run(args, &mut collector, out).await;
    }
    if args.json {
        print_json(out, &collector.value(args.source.as_ref()).await?)?;
        return Ok(());
    }
    let status = collector.status(args.source.as_ref()).await?;
    let view = view(args, collector.activity.as_ref());
    out.write_all(painted(&render(&status, &view), &MARKS, colour::wanted(&io::stdout())).as_bytes())?;
    Ok(())
}

/// What is shown on standard output.
fn view<'a>(args: &'a StatusArgs, activity: Option<&'a Activity>) -> View<'a> {
    let overview = args.source.is_none() && !args.all;
    let (columns, rows) = terminal::size(&io::stdout()).filter(|_| overview).unzip();
    let rows = rows.map(|rows| rows.saturating_sub(PROMPT_ROWS));
    View { source: args.source.as_ref(), activity, columns, rows, ..View::default() }
}

/// A running collector, and what is known of it from earlier.
struct Collector {
    client: AdminClient,
    clock: SystemClock,
    /// `None` once the collector said that it keeps none.
    history: Option<()>,
    snapshots: Snapshots,
    activity: Option<Activity>,
}

impl Collector {
    fn new(client: AdminClient) -> Self {
        let snapshots = Snapshots::default();
        Self { client, clock: SystemClock::new(), history: Some(()), snapshots, activity: None }
    }

    /// The state as the collector sends it. It is not parsed into [`Status`], so that fields that this version does
    /// not know are printed, too.
    async fn value(&self, source: Option<&SourceId>) -> Result<Value, Failure> {
        let mut status: Value = self.client.ask(Method::GET, "/api/status", PATIENCE).await?;
        if let (Some(id), Some(sources)) = (source, status.get_mut("sources").and_then(Value::as_array_mut)) {
            sources.retain(|source| source.get("id").and_then(Value::as_str) == Some(id.as_str()));
            if sources.is_empty() {
                return Err(self.no_source(id));
            }
        }
        Ok(status)
    }

    /// The state now. Updates the activity.
    async fn status(&mut self, source: Option<&SourceId>) -> Result<Status, Failure> {
        let status: Status = self.client.ask(Method::GET, "/api/status", PATIENCE).await?;
        if let Some(id) = source.filter(|id| status.sources.iter().all(|known| known.id != id.as_str())) {
            return Err(self.no_source(id));
        }
        self.snapshots.add(self.clock.monotonic(), &status);
        let history = self.history().await;
        self.activity = history.and_then(Activity::of_history).or_else(|| self.snapshots.activity());
        Ok(status)
    }

    async fn history(&mut self) -> Option<History> {
        self.history?;
        match self.client.ask(Method::GET, "/api/history", PATIENCE).await {
            Ok(history) => Some(history),
            Err(error) => {
                if matches!(error, AskError::Refused { status: StatusCode::NOT_FOUND, .. }) {
                    self.history = None;
                }
                tracing::debug!(%error, "no history: the rates are those between snapshots");
                None
            }
        }
    }

    fn no_source(&self, id: &SourceId) -> Failure {
        Failure::failed(format!(
            "{} has no source {id}: `forebay status --all` lists them",
            self.client.url()
        ))
    }
}
