//! The counts of one source in one hour.

use crate::object::Stream;
use crate::time::{ReceivedDay, UnixMillis};

/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;

/// An hour of UTC, counted from 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Hour(i64);

impl Hour {
    /// The hour that contains an instant.
    pub fn of(at: UnixMillis) -> Self {
        Self(at.0.div_euclid(HOUR_MS))
    }

    /// Its first instant.
    pub fn start(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(HOUR_MS))
    }

    /// The received-day that contains it. Days begin on the hour.
    pub fn day(self) -> ReceivedDay {
        self.start().day()
    }
}

/// Numbers of frames by hour.
pub type Hours = Vec<(Hour, u64)>;

/// The counts of one account: in one hour, in its folded hours, or in total. In the account of an object or
/// dead-letter stream its lines take the place of calls, and no count of rejected items is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct Row {
    /// Items of answered requests, counted by the collector.
    pub received: u64,
    /// Calls stored, counted by the spool as frames.
    pub stored: u64,
    /// Items stored in the rejected stream.
    pub rejected: u64,
    /// Calls that were repeats and were not stored again.
    pub repeated: u64,
    /// Calls that a rule kept from being stored. There is no such rule yet.
    pub suppressed: u64,
    /// Calls in objects that the store has confirmed, counted by the encoder as frames read.
    pub delivered: u64,
    /// Items of the rejected stream in such objects.
    pub rejected_delivered: u64,
    /// Stored calls that can no longer be read.
    pub lost: u64,
    /// Items of the rejected stream that can no longer be read.
    pub rejected_lost: u64,
}

impl Row {
    fn columns(mut self) -> [u64; 9] {
        self.columns_mut().map(|column| *column)
    }

    fn columns_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.received,
            &mut self.stored,
            &mut self.rejected,
            &mut self.repeated,
            &mut self.suppressed,
            &mut self.delivered,
            &mut self.rejected_delivered,
            &mut self.lost,
            &mut self.rejected_lost,
        ]
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, other) in self.columns_mut().into_iter().zip(other.columns()) {
            *mine = mine.saturating_add(other);
        }
    }

    /// Whether all counts are zero.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// What became of the received items: the other side of the first equation.
    pub fn accounted(&self) -> u64 {
        self.stored
            .saturating_add(self.rejected)
            .saturating_add(self.repeated)
            .saturating_add(self.suppressed)
    }

    /// The stored, delivered and lost frames of a stream.
    pub fn of(&self, stream: &Stream) -> (u64, u64, u64) {
        match stream {
            Stream::Rejected => (self.rejected, self.rejected_delivered, self.rejected_lost),
            Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => (self.stored, self.delivered, self.lost),
        }
    }

    /// Frames stored and neither delivered nor lost; `None` if more were delivered or lost than stored.
    pub fn pending(&self, stream: &Stream) -> Option<u64> {
        let (stored, delivered, lost) = self.of(stream);
        stored.checked_sub(delivered)?.checked_sub(lost)
    }

    /// Whether both equations hold and nothing is pending.
    pub fn is_settled(&self) -> bool {
        let done = |stream| self.pending(stream) == Some(0);
        self.received == self.accounted() && done(&Stream::Calls) && done(&Stream::Rejected)
    }

    /// Counts frames of a stream as delivered.
    pub fn deliver(&mut self, stream: &Stream, frames: u64) {
        let delivered = match stream {
            Stream::Rejected => &mut self.rejected_delivered,
            Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => &mut self.delivered,
        };
        *delivered = delivered.saturating_add(frames);
    }

    /// Counts frames of a stream as lost.
    pub fn lose(&mut self, stream: &Stream, frames: u64) {
        let lost = match stream {
            Stream::Rejected => &mut self.rejected_lost,
            Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => &mut self.lost,
        };
        *lost = lost.saturating_add(frames);
    }

    /// A row for frames of a stream that were received and stored.
    pub fn stored_in(stream: &Stream, frames: u64) -> Self {
        match stream {
            Stream::Rejected => Self { received: frames, rejected: frames, ..Self::default() },
            Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => {
                Self { received: frames, stored: frames, ..Self::default() }
            }
        }
    }
}

// A row is written as a list without trailing zeros: names would be most of a manifest.
impl From<Row> for Vec<u64> {
    fn from(row: Row) -> Self {
        let mut columns = row.columns().to_vec();
        columns.truncate(columns.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        columns
    }
}

impl From<Vec<u64>> for Row {
    fn from(columns: Vec<u64>) -> Self {
        let mut row = Self::default();
        row.columns_mut().into_iter().zip(columns).for_each(|(column, count)| *column = count);
        row
    }
}
