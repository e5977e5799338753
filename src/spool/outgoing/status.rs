//! What the spool says about itself and about what waits in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::SpoolLog;
use super::batches::open_batch_of;
use crate::batch::BatchKey;
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
        let state = self.shared.state();
        let sealed = state.calls.seals.values().map(|pending| pending.seal.first_received_at).min();
        // The state stays locked: otherwise frames being sealed could be missed both here and among the
        // seals.
        let open = lock(&self.shared.index).oldest_open();
        drop(state);
        open.into_iter().chain(sealed).min()
    }

    fn open_batches(&self) -> Vec<OpenBatch> {
        let index = lock(&self.shared.index);
        let open = index.batches.iter().filter(|(_, batch)| batch.open_frames > 0);
        open.map(|(key, batch)| open_batch_of(key, batch)).collect()
    }

    fn each_pending_seal(&self, visit: &mut dyn FnMut(&PendingSeal)) {
        self.shared.state().calls.seals.values().for_each(visit);
    }

    fn days_over(&self) -> Option<ReceivedDay> {
        self.shared.state().calls.days_over
    }

    fn unclosed_days(&self) -> BTreeMap<(ReceivedDay, SourceId), DayStage> {
        let state = self.shared.state();
        let stage = |day: ReceivedDay, pending: bool, unsure: bool| match () {
            () if state.calls.days_over < Some(day) => DayStage::Open,
            () if pending => DayStage::Delivering,
            () if unsure || state.calls.days_unsure >= Some(day) => DayStage::Unsure,
            () => DayStage::Closing,
        };
        let of = |batch: &BatchKey| ((batch.day, batch.source.clone()), stage(batch.day, true, false));
        let mut stages: BTreeMap<(ReceivedDay, SourceId), DayStage> = BTreeMap::new();
        for (place, delivered) in &state.calls.days {
            let stage = stage(place.day, false, delivered.is_unsure());
            // A day can never be closed if any part of it cannot.
            let known = stages.entry((place.day, place.source.clone())).or_insert(stage);
            *known = (*known).max(stage);
        }
        stages.extend(state.calls.seals.values().map(|pending| of(&pending.seal.batch)));
        stages.extend(lock(&self.shared.index).batches.keys().map(of));
        stages
    }
}
