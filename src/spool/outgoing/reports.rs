//! What the spool reports about itself, about what waits in it, and where the frames of each source go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::SpoolLog;
use super::batches::open_batch_of;
use crate::log::notes::{NoteKeeper as _, accounts, days, locate, locations};
use crate::log::{
    Accounts, DayStage, Located, Locations, OpenBatch, PendingSeal, Report, Rows, SetLocations, Status,
    Stopped, Usage,
};
use crate::object::S3Location;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::spool::shared::lock;
use crate::time::{ReceivedDay, UnixMillis};

/// Sources that one note forgets, so that it is a short one.
const FORGOTTEN_AT_ONCE: usize = 50;

impl Status for SpoolLog {
    fn spool_id(&self) -> String {
        self.shared.ident.spool_id_hex()
    }

    fn node(&self) -> String {
        self.shared.options.node.clone().unwrap_or_else(|| self.shared.ident.default_node())
    }

    fn stopped(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.poisoned()
    }

    fn usage(&self) -> Usage {
        self.shared.usage()
    }

    fn ledger(&self, rows: Rows<'_>) -> Report {
        let index = lock(&self.shared.index);
        let differences = index.differences();
        Report { differences, ..index.ledger.report(rows) }
    }

    fn oldest_undelivered(&self) -> Option<UnixMillis> {
        accounts::oldest_undelivered(&*self.shared)
    }

    fn open_batches(&self) -> Vec<OpenBatch> {
        let index = lock(&self.shared.index);
        let open = index.batches.iter().filter(|(_, batch)| batch.open_frames > 0);
        open.map(|(key, batch)| open_batch_of(key, batch)).collect()
    }

    fn each_pending_seal(&self, visit: &mut dyn FnMut(&PendingSeal)) {
        self.shared.read(|state| state.seals.values().for_each(visit));
    }

    fn days_over(&self) -> Option<ReceivedDay> {
        self.shared.read(|state| state.days_over)
    }

    fn unclosed_days(&self) -> BTreeMap<(ReceivedDay, SourceId), DayStage> {
        days::unclosed_days(&*self.shared)
    }
}

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

impl Accounts for SpoolLog {
    fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        accounts::undelivered(&*self.shared)
    }

    fn sources(&self) -> Vec<SourceId> {
        lock(&self.shared.index).sources().into_iter().collect()
    }

    fn known_sources(&self, wanted: &dyn Fn(&SourceId) -> bool) -> BTreeSet<SourceId> {
        accounts::known_sources(&*self.shared, wanted)
    }

    fn forget(&self, sources: &BTreeSet<SourceId>) -> Result<BTreeSet<SourceId>, Stopped> {
        // Nearly always none may be forgotten yet, and then no commit should wait for the gate.
        let (forgettable, is_gathered) = accounts::forgettable(&*self.shared, sources);
        if is_gathered {
            self.shared.wake_housekeeper();
        }
        let mut forgotten = BTreeSet::new();
        for some in forgettable.chunks(FORGOTTEN_AT_ONCE) {
            // No frame comes between the decision and the change of the index.
            let _gate = lock(&self.shared.commit_gate);
            forgotten.append(&mut accounts::forget(&*self.shared, some)?);
        }
        Ok(forgotten)
    }

    fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>> {
        locate::locate(self, &*self.shared, self.shared.next_position(), receipt)
    }
}
