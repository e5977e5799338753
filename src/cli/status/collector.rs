//! A running collector as `forebay status` asks it.

use std::io;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::render::View;
use crate::admin::Status;
use crate::admin_client::activity::{Activity, Snapshots};
use crate::admin_client::{AdminClient, AskError};
use crate::cli::args::StatusArgs;
use crate::cli::failure::Failure;
use crate::runtime::SystemClock;
use crate::runtime::terminal;
use crate::sources::SourceId;
use crate::time::Clock as _;

const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of a terminal that the shell needs: its prompt, and the command.
const PROMPT_ROWS: usize = 2;

/// What is shown on standard output.
pub(super) fn view<'a>(args: &'a StatusArgs, activity: Option<&'a Activity>) -> View<'a> {
    let overview = args.source.is_none() && !args.all;
    let (columns, rows) = terminal::size(&io::stdout()).filter(|_| overview).unzip();
    let rows = rows.map(|rows| rows.saturating_sub(PROMPT_ROWS));
    View { source: args.source.as_ref(), activity, columns, rows, ..View::default() }
}

/// A running collector, and what is known of it from earlier.
pub(super) struct Collector {
    client: AdminClient,
    pub(super) clock: SystemClock,
    /// `None` once the collector said that it keeps no history.
    history: Option<()>,
    snapshots: Snapshots,
    pub(super) activity: Option<Activity>,
}

impl Collector {
    pub(super) fn new(client: AdminClient) -> Self {
        let snapshots = Snapshots::default();
        Self { client, clock: SystemClock::new(), history: Some(()), snapshots, activity: None }
    }

    /// The state as the collector sends it. The state is not parsed into [`Status`], so that fields that this
    /// version does not know are printed, too.
    pub(super) async fn value(&self, source: Option<&SourceId>) -> Result<Value, Failure> {
        let mut status: Value = self.client.ask(Method::GET, "/api/status", PATIENCE).await?;
        let is_dev = status.get("dev_s3").is_some_and(Value::is_string);
        if let (Some(id), Some(sources)) = (source, status.get_mut("sources").and_then(Value::as_array_mut)) {
            let id_of = |source: &Value| source.get("id").and_then(Value::as_str).map(str::to_owned);
            let known: Vec<String> = sources.iter().filter_map(id_of).collect();
            sources.retain(|source| id_of(source).as_deref() == Some(id.as_str()));
            if sources.is_empty() {
                let known = known.iter().map(String::as_str);
                return Err(self.client.no_source(id.as_str(), known, is_dev).into());
            }
        }
        Ok(status)
    }

    /// The state now. Updates the activity.
    pub(super) async fn status(&mut self, source: Option<&SourceId>) -> Result<Status, Failure> {
        let status: Status = self.client.ask(Method::GET, "/api/status", PATIENCE).await?;
        if let Some(id) = source {
            self.client.has_source_in(id.as_str(), &status)?;
        }
        self.snapshots.add(self.clock.monotonic(), &status);
        let history = self.history().await;
        self.activity = history.and_then(Activity::of_history).or_else(|| self.snapshots.activity());
        Ok(status)
    }

    async fn history(&mut self) -> Option<Activity> {
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
}
