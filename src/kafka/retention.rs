//! For how long the log keeps records, and when a record was written.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;

use super::answers::NOT_REPORTED;
use super::records::{Fetched, NotRead, Records};
use super::settings::{Lines, NoClient, Settings};
use crate::partition::retention::{needed_of_idle, written_since};
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

/// What of a partition's log is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// From this record on, or nothing.
    From(Option<u64>),
    /// It is not delivered: as its last owner said this at a time.
    Said {
        /// The offset.
        from: u64,
        /// When, by that owner's clock.
        at: UnixMillis,
        /// From where on the log was cut since, at the latest, if it is known that it was.
        cut_at: Option<u64>,
    },
}

/// What the log says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the record was written that is needed first, if there is one.
    pub written_at: Option<UnixMillis>,
    /// Its offset.
    pub needed: Option<u64>,
    /// The first offset of what was written at a time or later; the log's end if there is nothing.
    pub later: u64,
    /// The offset of the log's next record.
    pub end: u64,
}

impl Times {
    /// Whether what is needed first was written before that time.
    pub fn is_needed_for_long(&self) -> bool {
        self.needed.is_some_and(|needed| needed < self.later)
    }
}

/// What the log says of the record that is needed first, and of what was written at `since` or later.
/// Errors: [`NotRead`].
pub fn look(log: &mut Records, needed: Needed, since: Option<UnixMillis>) -> Result<Times, NotRead> {
    let (start, end) = log.bounds()?;
    let first_of = |since| log.offset_at(since).map(|found| found.unwrap_or(end));
    let later = match since {
        Some(since) => first_of(since)?,
        None => end,
    };
    let from = match needed {
        Needed::From(from) => from,
        Needed::Said { from, at, cut_at } => {
            Some(needed_of_idle(from, first_of(written_since(at))?, end, cut_at))
        }
    };
    let Some(from) = from.filter(|from| *from < end).map(|from| from.max(start)) else {
        return Ok(Times { written_at: None, needed: None, later, end });
    };
    log.go_to(Some(from))?;
    let client = log.client();
    match log.fetch(&client, READ)? {
        Fetched::Record { at, offset, .. } => Ok(Times { written_at: at, needed: Some(offset), later, end }),
        // What stands there is no record, but a mark of somebody's transaction.
        Fetched::End => Ok(Times { written_at: None, needed: None, later, end }),
        // It is there, or was a moment ago.
        Fetched::Nothing | Fetched::OutOfRange => Err(log.no_answer()),
    }
}
