//! What the spool reports about itself and about what waits in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::SpoolLog;
use super::batches::open_batch_of;
use crate::log::notes::{NoteKeeper as _, accounts, days, locate};
use crate::log::{Accounts, DayStage, Located, OpenBatch, PendingSeal, Report, Rows, Status, Stopped, Usage};
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
