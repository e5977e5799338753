//! Reports closed days to a web address, a command, or both; and alarms to a web address.
//!
//! Each day is reported at least once to each, in no particular order of days, and only after the marker is
//! in the store. The message is one JSON object with the marker, its bucket and its key.

mod alarm_notice;
mod alarm_teller;
mod command;
mod told_alarms;
mod webhook;

use std::time::Duration;

use tokio::sync::Semaphore;

pub use alarm_notice::{Notice, NoticeEvent, NoticeForm, PAGERDUTY, RoutingKey};
pub use alarm_teller::{AlarmTellerDeps, AlarmWebhook, tell_alarms};
pub use command::Command;
pub use webhook::Webhook;

use crate::boxed_future::BoxFuture;
use crate::delivery::{ClosedDay, DayHook};
use crate::object::ClosedMarker;
use crate::words::about_seconds;

/// Commands that run at once: each is a process, and many days are closed in the same minute.
pub const COMMANDS_MAX: usize = 4;

/// All hooks.
#[derive(Debug)]
pub struct Hooks {
    webhook: Option<Webhook>,
    command: Option<Command>,
    timeout: Duration,
    running: Semaphore,
}

impl Hooks {
    /// A web address and a command, and how long each may take. At most [`COMMANDS_MAX`] commands run at
    /// once; the time of each begins when it is started.
    pub fn new(webhook: Option<Webhook>, command: Option<Command>, timeout: Duration) -> Self {
        Self { webhook, command, timeout, running: Semaphore::new(COMMANDS_MAX) }
    }
}

/// The message.
#[derive(serde::Serialize)]
struct Message<'a> {
    event: &'static str,
    bucket: String,
    key: &'a str,
    marker: &'a ClosedMarker,
}

fn message(day: &ClosedDay) -> Result<Vec<u8>, String> {
    let message = Message {
        event: "day_closed",
        bucket: day.bucket.to_string(),
        key: day.key.as_str(),
        marker: &day.marker,
    };
    serde_json::to_vec(&message).map_err(|error| error.to_string())
}

/// What becomes of a message, which may take so long. Errors: those of the work, or that it took too long.
async fn within(limit: Duration, work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| format!("timed out after {}", about_seconds(limit.as_secs()));
    tokio::time::timeout(limit, work).await.map_err(late).flatten()
}

impl DayHook for Hooks {
    fn call<'a>(&'a self, day: &'a ClosedDay) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let message = message(day)?;
            if let Some(webhook) = &self.webhook {
                let told = within(self.timeout, webhook.call(message.clone())).await;
                told.map_err(|why| format!("{webhook}: {why}"))?;
            }
            if let Some(command) = &self.command {
                let _running = self.running.acquire().await.map_err(|error| error.to_string())?;
                let told = within(self.timeout, command.call(day, &message)).await;
                told.map_err(|why| format!("{command}: {why}"))?;
            }
            Ok(())
        })
    }
}
