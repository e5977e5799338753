//! Where the frames of each source go, and from which position on.

use std::collections::BTreeSet;

use super::SpoolLog;
use crate::log::{Destinations, Stopped};
use crate::object::Destination;
use crate::sources::SourceId;
use crate::spool::manifest::note::Note;
use crate::spool::manifest::state::FIRST_POSITION;
use crate::spool::shared::lock;

impl Destinations for SpoolLog {
    fn destination(&self, source: &SourceId, position: u64) -> Option<(Destination, Option<u64>)> {
        // Locks the manifest, so that this waits for a change of bucket that is being noted: the change
        // may apply to frames that are already stored.
        let manifest = lock(&self.shared.manifest);
        let state = manifest.state();
        state.destination(source, position).map(|(destination, until)| (destination.clone(), until))
    }

    fn current_destination(&self, source: &SourceId) -> Option<Destination> {
        self.shared.state().destination(source, u64::MAX).map(|(destination, _)| destination.clone())
    }

    fn current_destinations(&self) -> Vec<(SourceId, Destination)> {
        let state = self.shared.state();
        let known = state.destinations.iter();
        known.filter_map(|(source, known)| Some((source.clone(), known.last()?.1.clone()))).collect()
    }

    fn set_destinations(&self, wanted: Vec<(SourceId, Destination)>) -> Result<Vec<SourceId>, Stopped> {
        let mut manifest = lock(&self.shared.manifest);
        let next = self.shared.next_position();
        let (mut notes, mut changed) = (Vec::new(), Vec::new());
        let state = self.shared.state();
        for (source, destination) in wanted {
            let known = state.destination(&source, u64::MAX).map(|(known, _)| known);
            if known == Some(&destination) {
                continue;
            }
            // A position being written now may be assigned again after a crash, so the first bucket
            // applies to all positions.
            let from = if known.is_some() { next } else { FIRST_POSITION };
            if known.is_some() {
                changed.push(source.clone());
            }
            notes.push(Note::Destination { source, from, destination });
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

    fn moved_sources(&self) -> BTreeSet<SourceId> {
        let state = self.shared.state();
        let moved = state.destinations.iter().filter(|(_, known)| known.len() > 1);
        moved.map(|(source, _)| source.clone()).collect()
    }
}
