//! Whether the log still has a block that was read some time ago.
//!
//! A reader compares its last block whenever it goes to its place anew. A log that is deleted, made again and filled to that
//! place before the reader's client hears of it looks like one that goes on. Its other blocks are elsewhere, or not there.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::records::{Fetched, NotRead, Records};
use crate::lock::lock;
use crate::partition::block::BlockAt;
use crate::partition::opening::{Found, Stop};

/// How long a record may take to come.
const READ: Duration = Duration::from_secs(2);
/// How often a block is looked for again while the reader reads nothing new: a broker delays the answer when it has so little to
/// send.
const AGAIN_EVERY: Duration = Duration::from_secs(60);

/// A block that the log must have.
#[derive(Debug)]
pub(super) struct Witness {
    expected: Mutex<Expected>,
    cut_at: OnceLock<u64>,
}

/// Which block, and when it was seen last, by the monotonic clock. What was read up to it is of the same log as what was read
/// before it.
#[derive(Clone, Copy, Debug)]
struct Expected {
    block: Option<BlockAt>,
    seen: Option<Duration>,
}

impl Witness {
    /// `last` was read last, by this term or the one before, or notes name it.
    pub(super) fn of(last: Option<BlockAt>) -> Self {
        Self { expected: Mutex::new(Expected { block: last, seen: None }), cut_at: OnceLock::new() }
    }

    /// Errors: [`Stop::LogCut`], if another block was seen.
    pub(super) fn still_there(&self) -> Result<(), Stop> {
        self.cut_at.get().map_or(Ok(()), |offset| Err(Stop::LogCut(*offset)))
    }

    /// Looks with another reader whether the log has the block, and takes `last`, which was read last, for the next look.
    /// Returns false if it has another one.
    /// Errors: [`NotRead`]: nothing is known; the next look is for the same block.
    pub(super) fn look(
        &self,
        log: &mut Records,
        last: Option<BlockAt>,
        now: Duration,
    ) -> Result<bool, NotRead> {
        let mut expected = lock(&self.expected);
        let Some(block) = expected.block else {
            expected.block = last;
            return Ok(true);
        };
        let is_due = expected.seen.is_none_or(|seen| now.saturating_sub(seen) >= AGAIN_EVERY);
        if last == Some(block) && !is_due {
            return Ok(true);
        }
        log.go_to(Some(block.offset))?;
        let client = log.client();
        match log.fetch(&client, READ)? {
            Fetched::Record { offset, value, .. } if offset == block.offset => {
                if Found::of_record(offset, &value) != Found::Record(Some(block)) {
                    self.cut_at.get_or_init(|| block.offset);
                    return Ok(false);
                }
                *expected = Expected { block: last, seen: Some(now) };
            }
            // Brokers that say so may be behind: the owner asks all of them.
            Fetched::End => {}
            Fetched::OutOfRange => {
                let (start, _) = log.bounds()?;
                if block.offset < start {
                    *expected = Expected { block: last.filter(|last| last.offset >= start), seen: None };
                }
            }
            // A record that stands elsewhere proves nothing.
            Fetched::Record { .. } | Fetched::Nothing => return Err(log.no_answer()),
        }
        Ok(true)
    }
}
