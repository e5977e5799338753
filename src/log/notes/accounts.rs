//! What waits of each source, and which sources may be forgotten: see [`Accounts`](crate::log::Accounts) and
//! [`Status`](crate::log::Status).

use std::collections::{BTreeMap, BTreeSet};

use super::keeper::{NoteKeeper, OpenFrames};
use super::note::CallNote;
use super::state::CallState;
use crate::log::Stopped;
use crate::sources::SourceId;
use crate::time::UnixMillis;

pub(crate) fn undelivered(keeper: &impl NoteKeeper) -> BTreeMap<SourceId, (u64, UnixMillis)> {
    let mut by_source: BTreeMap<SourceId, (u64, UnixMillis)> = BTreeMap::new();
    let mut add = |source: &SourceId, frames: u64, at: UnixMillis| {
        let known = by_source.entry(source.clone()).or_insert((0, at));
        *known = (known.0 + frames, known.1.min(at));
    };
    keeper.read(|state| {
        for pending in state.seals.values() {
            add(&pending.seal.batch.source, pending.seal.frames, pending.seal.first_received_at);
        }
        for (batch, frames, at) in keeper.open().batches().filter(|(_, frames, _)| *frames > 0) {
            add(&batch.source, frames, at);
        }
    });
    by_source
}

pub(crate) fn oldest_undelivered(keeper: &impl NoteKeeper) -> Option<UnixMillis> {
    keeper.read(|state| {
        let sealed = state.seals.values().map(|pending| pending.seal.first_received_at).min();
        // The state stays locked: otherwise frames being sealed could be missed both here and among the
        // seals.
        let open = keeper.open();
        let open = open.batches().filter(|(_, frames, _)| *frames > 0).map(|(.., at)| at).min();
        open.into_iter().chain(sealed).min()
    })
}

pub(crate) fn known_sources(
    keeper: &impl NoteKeeper,
    wanted: &dyn Fn(&SourceId) -> bool,
) -> BTreeSet<SourceId> {
    keeper.read(|state| {
        let mut open = keeper.open();
        // A frame of a source that came after it was forgotten has an account in the running ledger alone.
        let known = state.known_sources().chain(open.ledger().sources());
        known.filter(|source| wanted(source)).cloned().collect()
    })
}

/// The sources that may be forgotten now, and whether counts of others were gathered, to be noted soon: these
/// may be forgotten then.
pub(crate) fn forgettable(keeper: &impl NoteKeeper, sources: &BTreeSet<SourceId>) -> (Vec<SourceId>, bool) {
    keeper.read(|state| {
        let mut open = keeper.open();
        let (gone, not_noted) = may_be_forgotten(state, &mut *open, sources.iter());
        let gather = not_noted.into_iter().any(|source| open.ledger().has_new(source));
        if gather {
            open.gather();
        }
        (gone.into_iter().cloned().collect(), gather)
    })
}

/// Forgets those of a few sources that may be forgotten: see
/// [`Accounts::forget`](crate::log::Accounts::forget). Meanwhile no frame may be added.
pub(crate) fn forget(keeper: &impl NoteKeeper, sources: &[SourceId]) -> Result<BTreeSet<SourceId>, Stopped> {
    let decide = |state: &CallState| {
        let (gone, _) = may_be_forgotten(state, &mut *keeper.open(), sources.iter());
        let gone: BTreeSet<SourceId> = gone.into_iter().cloned().collect();
        let note = || CallNote::Forgotten { sources: gone.iter().cloned().collect() };
        ((!gone.is_empty()).then(note).into_iter().collect(), gone)
    };
    keeper.append_from(decide, |gone, _, open| {
        if !gone.is_empty() {
            open.ledger().forget(&gone);
        }
        gone
    })
}

/// The sources that have nothing waiting: those whose counts are all noted, and the others.
fn may_be_forgotten<'a>(
    state: &CallState,
    open: &mut impl OpenFrames,
    sources: impl Iterator<Item = &'a SourceId>,
) -> (Vec<&'a SourceId>, Vec<&'a SourceId>) {
    let mut waiting = state.waiting_sources();
    waiting.extend(open.batches().map(|(batch, ..)| batch.source.clone()));
    let ledger = open.ledger();
    sources
        .filter(|source| state.knows(source) || ledger.knows_any_of(source))
        .filter(|source| !waiting.contains(*source))
        .partition(|source| ledger.is_final(&state.ledger, source))
}
