//! An opened spool, and the findings of its start.

use std::sync::Arc;

use crate::log::Range;
use crate::spool::shared::Shared;
use crate::spool::writing::housekeeper::Housekeeper;
use crate::spool::writing::writer::Writer;

/// The findings of a start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The number of segments with frames.
    pub segments: usize,
    /// The number of frames that are not delivered yet.
    pub frames: u64,
    /// The number of sealed batches that are not committed.
    pub seals: usize,
    /// Positions that this start found to be lost.
    pub lost: Vec<Range>,
    /// The last segment, if the disk cannot read all of it. An unknown number of frames may have followed the
    /// last one found. The segment is kept in quarantine.
    pub unreadable: Option<u64>,
    /// Bytes of torn writes that were cut off. They were never acknowledged.
    pub torn_bytes: u64,
    /// Whether the wall clock is more than a day earlier than the newest frame.
    pub clock_behind: bool,
    /// Whether notes of the manifest could not be read. The work that they recorded is done again, so a call
    /// may be delivered twice.
    pub manifest_damaged: bool,
}

/// An opened spool, not yet running.
#[derive(Debug)]
pub(in crate::spool) struct Opened {
    pub(in crate::spool) shared: Arc<Shared>,
    pub(in crate::spool) writer: Writer,
    pub(in crate::spool) housekeeper: Housekeeper,
    pub(in crate::spool) recovered: Recovered,
}
