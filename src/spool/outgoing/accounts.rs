//! Reports on the spool.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{SpoolLog, locate};
use crate::log::notes::CallNote;
use crate::log::{Accounts, Located, Stopped};
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::spool::shared::{PanicGuard, lock};
use crate::time::UnixMillis;

/// Sources that one note forgets, so that it is a short one.
const FORGOTTEN_AT_ONCE: usize = 50;

impl Accounts for SpoolLog {
    fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        let mut by_source: BTreeMap<SourceId, (u64, UnixMillis)> = BTreeMap::new();
        let mut add = |source: &SourceId, frames: u64, at: UnixMillis| {
            let known = by_source.entry(source.clone()).or_insert((0, at));
            *known = (known.0 + frames, known.1.min(at));
        };
        let state = self.shared.state();
        for pending in state.calls.seals.values() {
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

    fn known_sources(&self, wanted: &dyn Fn(&SourceId) -> bool) -> BTreeSet<SourceId> {
        let state = self.shared.state();
        let index = lock(&self.shared.index);
        // A frame of a source that came after it was forgotten has an account in the index alone.
        let known = state.calls.known_sources().chain(index.ledger.sources());
        known.filter(|source| wanted(source)).cloned().collect()
    }

    fn forget(&self, sources: &BTreeSet<SourceId>) -> Result<BTreeSet<SourceId>, Stopped> {
        let mut forgotten = BTreeSet::new();
        let all: Vec<&SourceId> = sources.iter().collect();
        for some in all.chunks(FORGOTTEN_AT_ONCE) {
            forgotten.append(&mut self.forget_some(some)?);
        }
        Ok(forgotten)
    }

    fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>> {
        locate::locate(self, receipt)
    }
}

impl SpoolLog {
    /// Forgets those of a few sources that may be forgotten.
    fn forget_some(&self, sources: &[&SourceId]) -> Result<BTreeSet<SourceId>, Stopped> {
        let _guard = PanicGuard(&*self.shared);
        let mut manifest = lock(&self.shared.manifest);
        // No frame comes between the decision and the change of the index.
        let _gate = lock(&self.shared.commit_gate);
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        let gone = self.may_be_forgotten(sources);
        if gone.is_empty() {
            return Ok(gone);
        }
        let note = CallNote::Forgotten { sources: gone.iter().cloned().collect() };
        let noted = manifest.append_and(vec![note], |_| lock(&self.shared.index).ledger.forget(&gone));
        noted.map_err(|error| self.shared.not_noted(&error))?;
        Ok(gone)
    }

    /// The sources that have nothing waiting and all of whose counts are in the manifest. Counts that it
    /// lacks are noted soon.
    fn may_be_forgotten(&self, sources: &[&SourceId]) -> BTreeSet<SourceId> {
        let state = self.shared.state();
        let mut index = lock(&self.shared.index);
        let waiting = state.calls.waiting_sources();
        let in_index: BTreeSet<&SourceId> =
            index.batches.keys().map(|batch| &batch.source).chain(index.parked.keys()).collect();
        let waits = |source: &SourceId| waiting.contains(source) || in_index.contains(source);
        let (gone, not_noted): (Vec<&SourceId>, _) = sources
            .iter()
            .filter(|source| state.calls.knows(source) || index.ledger.knows_any_of(source))
            .filter(|source| !waits(source))
            .partition(|source| index.ledger.is_final(&state.calls.ledger, source));
        if not_noted.iter().any(|source| index.ledger.has_new(source)) {
            let through = index.durable_through;
            index.gather(through);
            self.shared.wake_housekeeper();
        }
        gone.into_iter().cloned().collect()
    }
}
