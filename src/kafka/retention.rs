//! For how long the log keeps records, and when a record was written.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;

use super::answers::NOT_REPORTED;
use super::records::{Fetched, NotRead, Records};
use super::settings::{Lines, NoClient, Settings};
use crate::time::UnixMillis;

/// How long the brokers have.
const CALL: Duration = Duration::from_secs(10);
/// How long a record may take to come.
const READ: Duration = Duration::from_secs(2);

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The brokers refused to say it: the right DescribeConfigs may be missing.
    #[error("ask for the settings of {topic}")]
    Refused {
        /// The topic of the calls.
        topic: String,
        /// What the library says.
        #[source]
        cause: KafkaError,
    },
}

/// For how long the log keeps its records. `None` if it deletes none.
/// Errors: [`NotKnown`]. Waits for the brokers, so do not call it on the runtime's threads.
pub fn of_log(settings: &Settings) -> Result<Option<Duration>, NotKnown> {
    let admin: AdminClient<Lines> =
        settings.of_admin().create_with_context(Lines).map_err(|cause| settings.no_client(cause))?;
    let refused = |cause| NotKnown::Refused { topic: settings.topic.clone(), cause };
    let options = AdminOptions::new().request_timeout(Some(CALL));
    let topic = ResourceSpecifier::Topic(&settings.topic);
    // The library answers from a thread of its own; nothing is needed but to wait.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|_| refused(KafkaError::Canceled))?;
    let found = runtime.block_on(admin.describe_configs([&topic], &options)).map_err(refused)?;
    let config = match found.into_iter().next() {
        Some(Ok(config)) => config,
        Some(Err(code)) => return Err(refused(KafkaError::AdminOp(code))),
        None => return Ok(None),
    };
    // Otherwise a log whose settings are hidden would be one that keeps its records for ever.
    if config.entries.is_empty() {
        return Err(refused(NOT_REPORTED));
    }
    let entry = config.get("retention.ms").and_then(|entry| entry.value.clone());
    // -1 stands for no limit.
    Ok(entry.and_then(|value| value.parse().ok()).map(Duration::from_millis))
}

/// What the log says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the record was written that is needed first, if there is one.
    pub written_at: Option<UnixMillis>,
    /// The first offset of what was written at a time or later; the log's end if there is nothing.
    pub later: u64,
    /// The offset of the log's next record.
    pub end: u64,
}

/// What the log says of the record at `needed_from`, and of what was written at `since` or later.
/// Errors: [`NotRead`].
pub fn look(
    log: &mut Records,
    needed_from: Option<u64>,
    since: Option<UnixMillis>,
) -> Result<Times, NotRead> {
    let (start, end) = log.bounds()?;
    let later = match since {
        Some(since) => log.offset_at(since)?.unwrap_or(end),
        None => end,
    };
    let Some(needed_from) = needed_from.filter(|from| *from < end) else {
        return Ok(Times { written_at: None, later, end });
    };
    log.go_to(Some(needed_from.max(start)))?;
    let client = log.client();
    let written_at = match log.fetch(&client, READ)? {
        Fetched::Record { at, .. } => at,
        // What stands there is no record, but a mark of somebody's transaction.
        Fetched::End => None,
        // It is there, or was a moment ago.
        Fetched::Nothing | Fetched::OutOfRange => return Err(log.no_answer()),
    };
    Ok(Times { written_at, later, end })
}
