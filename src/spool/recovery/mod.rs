//! Opens a spool: turns the files on disk into the state of a running spool.
//!
//! Five phases, each with a type that the next one takes:
//!
//! 1. [`Notes`]: what the manifest says.
//! 2. [`Segments`]: what the segments hold.
//! 3. [`Losses`]: what the notes require and the segments no longer hold.
//! 4. [`Durable`]: a new manifest that records all of this. Files are removed only after it is durable.
//! 5. [`restore`]: the index, dedupe window, ledger and open segment of the running spool.
//!
//! Acknowledged frames are never dropped and damaged bytes are never destroyed. After a crash at any step,
//! the next start begins again.

mod begin;
mod damaged_manifest;
mod durable;
mod found;
mod losses;
mod notes;
mod restore;
mod segments;
mod spares;
mod unclaimed_files;

use std::io;
use std::sync::Arc;

use crate::disk::Disk;
use crate::log::Range;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::spool::capped_disk::CappedDisk;
use crate::spool::format::ident::{Ident, IdentError};
use crate::spool::manifest::ManifestError;
use crate::spool::options::SpoolOptions;
use crate::spool::shared::Shared;
use crate::spool::writing::housekeeper::Housekeeper;
use crate::spool::writing::writer::Writer;
use crate::time::Clock;
use crate::words::counted;
use durable::{Durable, OpenContext};
use losses::Losses;
use notes::Notes;
use restore::restore;
use segments::Segments;
use unclaimed_files::{quarantine_unclaimed, remove_unfinished};

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk reported an error.
    #[error("open the spool: {what}")]
    Disk {
        /// The step that failed.
        what: &'static str,
        /// The disk's error.
        #[source]
        cause: io::Error,
    },
    /// Its identity cannot be read.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A newer release wrote a segment.
    #[error(
        "segment {segment} was written by a newer release (format {major}); start that release, or drain \
         the spool with it first"
    )]
    Newer {
        /// The segment.
        segment: u64,
        /// Its format.
        major: u16,
    },
    /// Damage was found and the configuration says to stop.
    #[error(
        "the spool has lost {} (the first lost positions are {first} to {last}), so it is not opened with \
         `spool.on_corruption = \"stop\"`; `forebay spool verify` lists the damage",
        counted(*.count, "frame", "frames")
    )]
    Damaged {
        /// First position lost.
        first: u64,
        /// Last position of that range.
        last: u64,
        /// Frames lost in total.
        count: u64,
    },
    /// The spool stopped while it was being opened.
    #[error("the spool stopped while it was being opened; the log states the reason")]
    Stopped,
}

/// What a start found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Segments with frames.
    pub segments: usize,
    /// Frames not yet delivered.
    pub frames: u64,
    /// Sealed batches that are not committed.
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
    /// Whether notes of the manifest could not be read. The work they recorded is done again, so a call may
    /// be delivered twice.
    pub manifest_damaged: bool,
}

/// An opened spool, not yet running.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Writer,
    pub(super) housekeeper: Housekeeper,
    pub(super) recovered: Recovered,
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |cause| OpenError::Disk { what, cause }
}

/// Opens the spool on `disk`: reads its notes and segments, finds what is lost, makes the result durable, and
/// restores the state that is kept in memory.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    options: SpoolOptions,
    clock: Arc<dyn Clock>,
    random: &dyn Random,
    metrics: Arc<Metrics>,
) -> Result<Opened, OpenError> {
    let capped = Arc::new(
        CappedDisk::new(disk, options.max_bytes, options.manifest_bytes).map_err(failed("list its files"))?,
    );
    let ident = Ident::open(&*capped, random)?;
    let stop = options.stop_on_corruption;
    let mut notes = Notes::read(&*capped, &ident, stop)?;
    remove_unfinished(&*capped).map_err(failed("remove leftovers"))?;
    let segments = Segments::find(&*capped, &ident, &mut notes, stop)?;
    let losses = Losses::find(&*capped, &mut notes, &segments, stop)?;
    quarantine_unclaimed(&*capped, &notes.state, notes.damaged)
        .map_err(failed("move parked files to quarantine"))?;
    let recovered = Recovered {
        segments: segments.used.len(),
        unreadable: segments.unreadable,
        torn_bytes: segments.torn_bytes,
        manifest_damaged: notes.damaged,
        lost: losses.lost.clone(),
        ..Recovered::default()
    };
    let context = OpenContext { capped, ident, options, clock, metrics };
    let durable = Durable::make(context, notes, &segments, &losses)?;
    let frames_missing = losses.any_missing || segments.unreadable.is_some();
    restore(durable, segments.used, frames_missing, recovered)
}
