//! Reports on the spool.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::{SpoolLog, locate};
use crate::log::{Accounts, Located, Report, Rows, Stopped};
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::spool::manifest::note::Note;
use crate::spool::shared::lock;
use crate::time::UnixMillis;

impl Accounts for SpoolLog {
    fn oldest_undelivered(&self) -> Option<UnixMillis> {
        let state = self.shared.state();
        let sealed = state.seals.values().map(|pending| pending.seal.first_received_at).min();
        // The state stays locked: otherwise frames being sealed could be missed both here and among the
        // seals.
        let open = lock(&self.shared.index).oldest_open();
        drop(state);
        open.into_iter().chain(sealed).min()
    }

    fn ledger(&self, rows: Rows<'_>) -> Report {
        let index = lock(&self.shared.index);
        let differences = index.differences();
        Report { differences, ..index.ledger.report(rows) }
    }

    fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        let mut by_source: BTreeMap<SourceId, (u64, UnixMillis)> = BTreeMap::new();
        let mut add = |source: &SourceId, frames: u64, at: UnixMillis| {
            let known = by_source.entry(source.clone()).or_insert((0, at));
            *known = (known.0 + frames, known.1.min(at));
        };
        let state = self.shared.state();
        for pending in state.seals.values() {
            add(&pending.seal.batch.source, pending.seal.frames, pending.seal.first_received_at);
        }
        let index = lock(&self.shared.index);
        drop(state);
        for (key, batch) in index.batches.iter().filter(|(_, batch)| batch.open_frames > 0) {
            add(&key.source, batch.open_frames, batch.first_received_at);
        }
        by_source
    }

    fn sources(&self) -> Vec<SourceId> {
        lock(&self.shared.index).sources().into_iter().collect()
    }

    fn node(&self) -> String {
        self.shared.options.node.clone().unwrap_or_else(|| self.shared.ident.default_node())
    }

    fn spool_id(&self) -> String {
        self.shared.ident.spool_id_hex()
    }

    fn stopped(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.poisoned()
    }

    fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped> {
        self.shared.note(vec![Note::Clock { from, to }])
    }

    fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>> {
        locate::locate(self, receipt)
    }
}
