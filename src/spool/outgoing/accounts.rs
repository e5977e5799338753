//! Reports on the spool.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::SpoolLog;
use crate::log::notes::{accounts, locate};
use crate::log::{Accounts, Located, Stopped};
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::spool::shared::lock;
use crate::time::UnixMillis;

/// Sources that one note forgets, so that it is a short one.
const FORGOTTEN_AT_ONCE: usize = 50;

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
