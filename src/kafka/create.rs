//! The first notes of a partition.

use std::sync::Arc;
use std::time::Duration;

use super::lock::Lock;
use super::records::{Fetched, NotRead, Records};
use super::settings::{NoClient, Sees, Settings};
use crate::partition::answer::TransactionError;
use crate::partition::note::Note;
use crate::partition::state::{Identity, State};
use crate::time::{Clock, UnixMillis};

/// How long the notes of a partition must say nothing to be taken as empty, besides what the brokers say of
/// their bounds.
const READ: Duration = Duration::from_millis(500);
/// Calls that can be repeated are, so many times.
const REPEATS: usize = 12;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The first snapshot was written.
    Written,
    /// The partition has notes already. Nothing was written.
    HasNotes,
}

/// Why the first notes were not written.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The notes could not be read.
    #[error(transparent)]
    NotRead(#[from] NotRead),
    /// The brokers refused the transaction, or did not answer: run it again.
    #[error("write the first notes of partition {partition} of {topic}; it can be repeated")]
    NotNoted {
        /// The topic of the notes.
        topic: String,
        /// The partition.
        partition: u32,
        /// What the answer means.
        #[source]
        cause: TransactionError,
    },
}

/// Writes the first snapshot of a partition, under its lock, if its notes are empty. A partition that is in
/// use loses its term to this, no more.
/// Errors: [`NotCreated`].
pub fn first_snapshot(
    settings: &Settings,
    identity: Identity,
    clock: &Arc<dyn Clock>,
) -> Result<Created, NotCreated> {
    let partition = identity.partition;
    let id = identity.transactional_id();
    let lock = Lock::new(settings, &id, partition, Arc::clone(clock))?;
    let failed = |cause| NotCreated::NotNoted { topic: settings.notes_topic.clone(), partition, cause };
    let taken = (0..REPEATS).find_map(|_| match lock.take() {
        Err(TransactionError::Retriable) => None,
        answer => Some(answer),
    });
    taken.unwrap_or(Err(TransactionError::Retriable)).map_err(failed)?;
    // Under the lock nobody else writes. So notes that are there now are all that there are.
    let mut notes = Records::new(settings, &settings.notes_topic, partition, Sees::Committed)?;
    let (start, end) = notes.bounds()?;
    if end > start {
        notes.go_to(None)?;
        loop {
            match notes.fetch(READ)? {
                Fetched::Record { .. } => return Ok(Created::HasNotes),
                // Transactions that were aborted, and markers.
                Fetched::End => break,
                Fetched::Nothing | Fetched::OutOfRange => {}
            }
        }
    }
    // Records that were deleted were notes too.
    if start > 0 {
        return Ok(Created::HasNotes);
    }
    let snapshot: Vec<Note> = State::new(identity).snapshot(UnixMillis(0));
    lock.note(&snapshot).map_err(failed)?;
    Ok(Created::Written)
}
