//! What the spool says about itself and about what waits in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::SpoolLog;
use super::batches::open_batch_of;
use crate::log::notes::{NoteKeeper as _, accounts, days};
use crate::log::{DayStage, OpenBatch, PendingSeal, Report, Rows, Status, Usage};
use crate::sources::SourceId;
use crate::spool::shared::lock;
use crate::time::{ReceivedDay, UnixMillis};

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
