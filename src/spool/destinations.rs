//! Where the frames of each source go, and from which position on.

use std::collections::BTreeSet;

use super::note::Note;
use super::outlet::Outlet;
use super::shared::{Stopped, lock};
use super::state::FIRST_POSITION;
use crate::object::Destination;
use crate::sources::SourceId;

impl Outlet {
    /// Where frames of `source` at `position` go, and the first position that goes elsewhere.
    pub fn destination(&self, source: &SourceId, position: u64) -> Option<(Destination, Option<u64>)> {
        // A move that is only now being noted is waited for: it may be of frames that are already there.
        let manifest = lock(&self.shared.manifest);
        let state = manifest.state();
        state.destination(source, position).map(|(destination, until)| (destination.clone(), until))
    }

    /// Where new frames of `source` go.
    pub fn current_destination(&self, source: &SourceId) -> Option<Destination> {
        self.shared.state().destination(source, u64::MAX).map(|(destination, _)| destination.clone())
    }

    /// Where new frames of each source go.
    pub fn current_destinations(&self) -> Vec<(SourceId, Destination)> {
        let state = self.shared.state();
        let known = state.destinations.iter();
        known.filter_map(|(source, known)| Some((source.clone(), known.last()?.1.clone()))).collect()
    }

    /// Notes where the frames of these sources go from now on. It must be called before the first frame of a source, and
    /// before the first that is to go elsewhere than those before it. Frames of a source for which nothing was noted yet
    /// all go there. Returns the sources for which that is a change.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn set_destinations(
        &self,
        wanted: impl IntoIterator<Item = (SourceId, Destination)>,
    ) -> Result<Vec<SourceId>, Stopped> {
        let wanted: Vec<(SourceId, Destination)> = wanted.into_iter().collect();
        let mut manifest = lock(&self.shared.manifest);
        let next = self.shared.next_position();
        let (mut notes, mut changed) = (Vec::new(), Vec::new());
        let state = self.shared.state();
        for (source, destination) in wanted {
            let known = state.destination(&source, u64::MAX).map(|(known, _)| known);
            if known == Some(&destination) {
                continue;
            }
            // A position that is only now being written may be given again after a crash, so a first place is for all.
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

    /// The sources whose frames do not all go to the same place.
    pub fn moved_sources(&self) -> BTreeSet<SourceId> {
        let state = self.shared.state();
        let moved = state.destinations.iter().filter(|(_, known)| known.len() > 1);
        moved.map(|(source, _)| source.clone()).collect()
    }
}
