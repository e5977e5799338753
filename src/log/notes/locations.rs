//! Where the frames of each source go, and from which position on.

use super::keeper::NoteKeeper;
use super::note::CallNote;
use super::state::{CallState, FIRST_POSITION};
use crate::log::Stopped;
use crate::object::S3Location;
use crate::sources::SourceId;

/// See [`SetLocations::set_locations`](crate::log::SetLocations::set_locations). `next` is the position of
/// the next frame.
pub(crate) fn set_locations(
    keeper: &impl NoteKeeper,
    wanted: Vec<(SourceId, S3Location)>,
    next: impl FnOnce() -> u64,
) -> Result<Vec<SourceId>, Stopped> {
    let decide = |state: &CallState| {
        let (next, mut notes, mut changed) = (next(), Vec::new(), Vec::new());
        for (source, location) in wanted {
            let known = state.location(&source, u64::MAX).map(|(known, _)| known);
            if known == Some(&location) {
                continue;
            }
            // A position being written now may be assigned again after a crash, so the first bucket
            // applies to all positions.
            let from = if known.is_some() { next } else { FIRST_POSITION };
            if known.is_some() {
                changed.push(source.clone());
            }
            notes.push(CallNote::Location { source, from, location });
        }
        (notes, changed)
    };
    keeper.append_from(decide, |changed, _, _| changed)
}
