//! Where the frames of each source go, and from which position on.

use std::collections::BTreeSet;

use super::SpoolLog;
use crate::log::notes::{CallNote, FIRST_POSITION};
use crate::log::{Locations, SetLocations, Stopped};
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::spool::shared::lock;

impl Locations for SpoolLog {
    fn location(&self, source: &SourceId, position: u64) -> Option<(S3Location, Option<u64>)> {
        // Locks the manifest, so that this waits for a change of bucket that is being noted: the change
        // may apply to frames that are already stored.
        let manifest = lock(&self.shared.manifest);
        let state = manifest.state();
        state.calls.location(source, position).map(|(location, until)| (location.clone(), until))
    }

    fn current_location(&self, source: &SourceId) -> Option<S3Location> {
        self.shared.state().calls.location(source, u64::MAX).map(|(location, _)| location.clone())
    }

    fn current_locations(&self) -> Vec<(SourceId, S3Location)> {
        let state = self.shared.state();
        let known = state.calls.locations.iter();
        known.filter_map(|(source, known)| Some((source.clone(), known.last()?.1.clone()))).collect()
    }

    fn moved_sources(&self) -> BTreeSet<SourceId> {
        let state = self.shared.state();
        let moved = state.calls.locations.iter().filter(|(_, known)| known.len() > 1);
        moved.map(|(source, _)| source.clone()).collect()
    }
}

impl SetLocations for SpoolLog {
    fn set_locations(&self, wanted: Vec<(SourceId, S3Location)>) -> Result<Vec<SourceId>, Stopped> {
        let mut manifest = lock(&self.shared.manifest);
        let next = self.shared.next_position();
        let (mut notes, mut changed) = (Vec::new(), Vec::new());
        let state = self.shared.state();
        for (source, location) in wanted {
            let known = state.calls.location(&source, u64::MAX).map(|(known, _)| known);
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
        drop(state);
        if notes.is_empty() {
            return Ok(changed);
        }
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        manifest.append(notes).map_err(|error| self.shared.not_noted(&error))?;
        Ok(changed)
    }
}
