//! Where the frames of each source go, and from which position on.

use std::collections::BTreeSet;

use super::SpoolLog;
use crate::log::notes::{NoteKeeper as _, locations};
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
        self.shared.read(|state| state.location(source, u64::MAX).map(|(location, _)| location.clone()))
    }

    fn current_locations(&self) -> Vec<(SourceId, S3Location)> {
        let current = |(source, known): (&SourceId, &Vec<(u64, S3Location)>)| {
            Some((source.clone(), known.last()?.1.clone()))
        };
        self.shared.read(|state| state.locations.iter().filter_map(current).collect())
    }

    fn moved_sources(&self) -> BTreeSet<SourceId> {
        self.shared.read(|state| {
            let moved = state.locations.iter().filter(|(_, known)| known.len() > 1);
            moved.map(|(source, _)| source.clone()).collect()
        })
    }
}

impl SetLocations for SpoolLog {
    fn set_locations(&self, wanted: Vec<(SourceId, S3Location)>) -> Result<Vec<SourceId>, Stopped> {
        locations::set_locations(&*self.shared, wanted, || self.shared.next_position())
    }
}
