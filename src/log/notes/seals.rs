//! Seals, commits and lost positions, as notes: see [`Seals`](crate::log::Seals).

use super::keeper::{NoteKeeper, OpenFrames as _};
use super::note::CallNote;
use super::state::CallState;
use crate::batch::BatchKey;
use crate::log::{Amend, Encoded, Lost, PendingSeal, Range, Seal, Stopped};
use crate::object::{AppliedEncryption, ObjectKey, S3Location};

impl CallState {
    /// The next seal: of a batch whose frames were encoded. `None` if a part of the range is sealed already.
    pub fn seal_of(
        &self,
        batch: &BatchKey,
        encoded: &Encoded,
        location: S3Location,
        object_key: ObjectKey,
    ) -> Option<Seal> {
        let sealed = self.cursors.get(batch).map(|cursor| cursor.sealed);
        sealed.is_none_or(|sealed| encoded.first > sealed).then(|| Seal {
            number: self.next_seal.max(1),
            batch: batch.clone(),
            first: encoded.first,
            last: encoded.last,
            frames: encoded.frames,
            bytes: encoded.bytes,
            sha256: encoded.sha256.clone(),
            first_received_at: encoded.first_received_at,
            last_received_at: encoded.last_received_at,
            encoder: encoded.encoder.clone(),
            previous_last: self.previous_last(batch, &location.bucket),
            location,
            object_key,
            hours: encoded.hours.clone(),
        })
    }
}

/// Returns also how many frames of the batch are counted as lost.
pub(crate) fn seal(
    keeper: &impl NoteKeeper,
    batch: &BatchKey,
    encoded: &Encoded,
    location: S3Location,
    object_key: ObjectKey,
) -> Result<(Seal, u64), Stopped> {
    let decide = |state: &CallState| {
        let hours = keeper.open().ledger().hours_for_seal(batch, encoded.hours.clone());
        let seal = state.seal_of(batch, &Encoded { hours, ..encoded.clone() }, location, object_key);
        (seal.clone().map(CallNote::Sealed).into_iter().collect(), seal)
    };
    let sealed = keeper.append_from(decide, |seal, _, open| {
        let seal = seal?;
        open.sealed(&seal);
        open.ledger().seal(batch, &seal.hours());
        let lost = open.settle(batch);
        Some((seal, lost))
    })?;
    sealed.ok_or_else(|| keeper.stop_for_bug("a range would be sealed twice"))
}

/// Returns the seal as it was pending.
pub(crate) fn commit(
    keeper: &impl NoteKeeper,
    seal: &Seal,
    applied: Option<AppliedEncryption>,
) -> Result<Option<PendingSeal>, Stopped> {
    let pending = keeper.read(|state| state.seals.get(&seal.number).cloned());
    let amended = pending.as_ref().and_then(|pending| pending.amended.clone()).map(Box::new);
    let seal_again = Some(Box::new(seal.clone()));
    let committed = CallNote::Committed { number: seal.number, applied, seal: seal_again, amended };
    let decide = |_: &CallState| (vec![committed], ());
    keeper.append_from(decide, |(), state, open| {
        if let Some(pending) = &pending {
            open.ledger().deliver(&seal.batch, &pending.seal.hours(), &pending.hours());
        }
        open.release(&seal.batch, state.released_through(&seal.batch));
    })?;
    Ok(pending)
}

pub(crate) fn amend(keeper: &impl NoteKeeper, seal: &Seal, amend: Amend) -> Result<(), Stopped> {
    let mut notes: Vec<CallNote> =
        amend.lost.iter().map(|range| CallNote::Lost(keeper.lost_at(*range))).collect();
    notes.push(CallNote::Amended { number: seal.number, amend });
    keeper.append(notes)
}

pub(crate) fn lost_of(keeper: &impl NoteKeeper, seal: &Seal) -> Vec<Range> {
    keeper.read(|state| {
        if Lost::most_within(state.lost.iter().copied(), seal.range()) < seal.frames {
            return vec![seal.range()];
        }
        let known = Range::merge(state.lost.iter().map(Lost::range));
        known.into_iter().filter_map(|range| range.within(seal.first, seal.last)).collect()
    })
}

/// `report` gets each new note.
pub(crate) fn note_lost(
    keeper: &impl NoteKeeper,
    lost: &[Range],
    report: impl Fn(&CallNote),
) -> Result<(), Stopped> {
    if lost.is_empty() {
        return Ok(());
    }
    // Several readers may find the same damage at once.
    let decide = |state: &CallState| {
        let is_known = |range: &Range| state.lost.iter().any(|known| known.range() == *range);
        let new = lost.iter().filter(|range| !is_known(range));
        let notes: Vec<CallNote> = new.map(|range| CallNote::Lost(keeper.lost_at(*range))).collect();
        notes.iter().for_each(report);
        (notes, ())
    };
    keeper.append_from(decide, |(), _, _| ())
}
