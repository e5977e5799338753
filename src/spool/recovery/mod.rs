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
mod open_error;
mod restore;
mod segments;
mod spares;
mod unclaimed_files;

use std::sync::Arc;

use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::spool::capped_disk::CappedDisk;
use crate::spool::format::ident::Ident;
use crate::spool::options::SpoolOptions;
use crate::time::Clock;
use durable::{Durable, OpenContext};
use losses::Losses;
use notes::Notes;
pub use open_error::OpenError;
use open_error::failed;
pub(super) use restore::Opened;
pub use restore::Recovered;
use restore::restore;
use segments::Segments;
use unclaimed_files::{quarantine_unclaimed, remove_unfinished};

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
