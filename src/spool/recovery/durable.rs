//! Phase 4: a new manifest. The findings of the first three phases become durable; only then are files
//! removed.

use std::sync::Arc;

use super::damaged_manifest::remove_copies;
use super::losses::Losses;
use super::notes::Notes;
use super::open_error::{OpenError, failed};
use super::segments::Segments;
use super::spares::retry_without_spares;
use super::unclaimed_files::remove_unneeded;
use crate::disk::Disk;
use crate::log::Range;
use crate::log::notes::CallNote;
use crate::metrics::Metrics;
use crate::spool::capped_disk::CappedDisk;
use crate::spool::format::ident::Ident;
use crate::spool::manifest::state::State;
use crate::spool::manifest::{FileNote, Manifest, Note};
use crate::spool::options::SpoolOptions;
use crate::spool::shared::Shared;
use crate::spool::writing::housekeeper::keep_as_spare;
use crate::time::{Clock, UnixMillis};

/// What a spool is opened with.
pub(super) struct OpenContext {
    pub(super) capped: Arc<CappedDisk>,
    pub(super) ident: Ident,
    pub(super) options: SpoolOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
}

/// A spool whose manifest records everything that was found.
pub(super) struct Durable {
    pub(super) shared: Arc<Shared>,
    /// The position of the next frame.
    pub(super) next_position: u64,
    /// When the newest frame was received.
    pub(super) newest: UnixMillis,
}

impl Durable {
    /// Begins the next manifest with the state in `notes`, then notes the losses and removes files that are
    /// not needed.
    pub(super) fn make(
        context: OpenContext,
        mut notes: Notes,
        segments: &Segments,
        losses: &Losses,
    ) -> Result<Self, OpenError> {
        let newest = segments.newest();
        let next_position = next_position(&notes.state, segments, &losses.lost);
        notes.state.calls.clamp_locations(next_position);
        notes.state.calls.node = node(&context);
        mark_uncertain_days(&mut notes, losses, newest.max(context.clock.wall()));

        let disk: Arc<dyn Disk> = Arc::<CappedDisk>::clone(&context.capped);
        let begin = || {
            let (state, bytes) = (notes.state.clone(), context.options.manifest_bytes);
            Manifest::begin(Arc::clone(&disk), context.ident.spool_id, notes.number + 1, state, bytes)
        };
        let manifest = retry_without_spares(&*disk, begin).map_err(failed("begin a manifest"))?;
        // From here on the state is durable, so files that it does not need can be removed.
        remove_copies(&*disk, &segments.copies).map_err(failed("remove copies of segments"))?;
        remove_unneeded(&*disk, &manifest.state()).map_err(failed("remove unneeded files"))?;
        context.capped.measure();
        let OpenContext { capped, ident, options, clock, metrics } = context;
        let shared = Arc::new(Shared::new(capped, clock, metrics, ident, options, manifest));
        log_cap(&shared);

        let released =
            segments.unused.iter().map(|found| found.number).chain(losses.missing_segments.iter().copied());
        let mut recorded: Vec<Note> =
            losses.lost.iter().map(|range| CallNote::Lost((*range).into()).into()).collect();
        recorded.extend(released.map(|number| Note::from(FileNote::Released { number, positions: None })));
        if !recorded.is_empty() {
            shared.note(recorded).map_err(|_| OpenError::Stopped)?;
        }
        for found in &segments.unused {
            keep_as_spare(&*shared.disk, found.number)
                .map_err(failed("keep an unused segment as a spare"))?;
        }
        Ok(Self { shared, next_position, newest })
    }
}

fn node(context: &OpenContext) -> String {
    context.options.node.clone().unwrap_or_else(|| context.ident.default_node())
}

/// The position of the next frame. Positions of writes lost in the crash are reused; nobody was ever told of
/// them.
fn next_position(state: &State, segments: &Segments, lost: &[Range]) -> u64 {
    let last_lost = lost.iter().map(|range| range.last).max().unwrap_or(0);
    state.calls.next_position.max(segments.last_position().max(last_lost) + 1).max(1)
}

/// Marks the days and the rows of the ledger that missing notes leave uncertain. `now` is the wall clock, or
/// the newest frame's `receivedAt` if that is later.
fn mark_uncertain_days(notes: &mut Notes, losses: &Losses, now: UnixMillis) {
    // The newest day in the notes may be later than `now`: the clock may have gone back, or the day's frames
    // may be damaged.
    let state = &notes.state;
    let known = state
        .calls
        .cursors
        .keys()
        .map(|batch| batch.day)
        .chain(state.calls.days.keys().map(|place| place.day));
    let newest_day = known.chain(state.calls.ledger.newest_day()).chain([now.day()]).max();
    let state = &mut notes.state;
    if notes.damaged {
        state.calls.days_unsure = state.calls.days_unsure.max(newest_day);
    }
    state.calls.ledger.set_lost_through(newest_day);
    if notes.damaged || losses.parked_file_found {
        // Tallies may be missing, and the next start finds a sound manifest that does not show this.
        state.calls.ledger.doubt_through = state.calls.ledger.doubt_through.max(newest_day);
    }
}

/// Warns if the disk's size, not the configuration, limits the spool.
fn log_cap(shared: &Shared) {
    let (configured, cap) = (shared.options.max_bytes, shared.capped.cap());
    if shared.capped.is_smaller_than_configured() {
        tracing::warn!(
            configured,
            cap,
            segment_bytes = shared.segment_bytes,
            "the disk is smaller than spool.max_bytes, so the disk limits the spool; figures are in bytes"
        );
    }
}
