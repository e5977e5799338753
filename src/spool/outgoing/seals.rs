//! Seals and commits.

use std::io;

use super::{SpoolLog, log_lost};
use crate::batch::BatchKey;
use crate::log::notes::CallNote;
use crate::log::{
    Amend, Batches, Encoded, Go, KeptObject, Parked, PendingSeal, Range, Read, Seal, Seals, Stopped,
};
use crate::object::{AppliedEncryption, ObjectKey, S3Location};
use crate::planted_bugs::{PlantedBug, planted};
use crate::spool::shared::{PanicGuard, lock};

impl Seals for SpoolLog {
    fn seal(
        &self,
        batch: &BatchKey,
        encoded: &Encoded,
        location: S3Location,
        object_key: ObjectKey,
    ) -> Result<Seal, Stopped> {
        let _guard = PanicGuard(&*self.shared);
        let mut manifest = lock(&self.shared.manifest);
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        let state = self.shared.state();
        let seal = Seal {
            number: state.calls.next_seal.max(1),
            batch: batch.clone(),
            first: encoded.first,
            last: encoded.last,
            frames: encoded.frames,
            bytes: encoded.bytes,
            sha256: encoded.sha256.clone(),
            first_received_at: encoded.first_received_at,
            last_received_at: encoded.last_received_at,
            encoder: encoded.encoder.clone(),
            previous_last: state.calls.previous_last(batch, &location.bucket),
            location,
            object_key,
            hours: lock(&self.shared.index).ledger.hours_for_seal(batch, encoded.hours.clone()),
        };
        let sealed_before = state.calls.cursors.get(batch).is_some_and(|cursor| seal.first <= cursor.sealed);
        drop(state);
        if sealed_before {
            self.shared.poison("a range would be sealed twice", &"this is a bug in Forebay");
            return Err(Stopped);
        }
        let noted = manifest.append_and(vec![CallNote::Sealed(seal.clone())], |_| {
            let mut index = lock(&self.shared.index);
            index.seal(batch, seal.last, seal.frames, seal.bytes);
            index.ledger.seal(batch, &seal.hours());
            index.settle(batch)
        });
        let lost = noted.map_err(|error| self.shared.not_noted(&error))?;
        drop(manifest);
        log_lost(batch, lost);
        self.set_age_of_rest(batch, seal.last);
        if planted(PlantedBug::UnlinkBeforeCommit) {
            lock(&self.shared.index).release(&seal.batch, seal.last);
            self.shared.wake_housekeeper();
        }
        Ok(seal)
    }

    fn pending_seal(&self, number: u64) -> Option<PendingSeal> {
        self.shared.state().calls.seals.get(&number).cloned()
    }

    fn commit(&self, seal: &Seal, applied: Option<AppliedEncryption>) -> Result<(), Stopped> {
        let pending = self.pending_seal(seal.number);
        let amended = pending.as_ref().and_then(|pending| pending.amended.clone()).map(Box::new);
        let seal_again = Some(Box::new(seal.clone()));
        let committed = CallNote::Committed { number: seal.number, applied, seal: seal_again, amended };
        self.shared.note_and(vec![committed], |state, index| {
            if let Some(pending) = &pending {
                index.ledger.deliver(&seal.batch, &pending.seal.hours(), &pending.hours());
            }
            index.release(&seal.batch, state.calls.released_through(&seal.batch));
        })?;
        self.shared.wake_housekeeper();
        if let Some(parked) = pending.and_then(|pending| pending.parked) {
            self.unpark(seal, parked);
        }
        Ok(())
    }

    fn conflict(&self, seal: &Seal) -> Result<(), Stopped> {
        self.shared.note(vec![CallNote::Conflict { number: seal.number }])
    }

    fn lost_of(&self, seal: &Seal) -> Vec<Range> {
        let known = Range::merge(self.shared.state().calls.lost.iter().copied());
        let within: Vec<Range> =
            known.into_iter().filter_map(|range| range.within(seal.first, seal.last)).collect();
        let positions = within.iter().map(|range| range.last - range.first + 1).fold(0, u64::saturating_add);
        if positions >= seal.frames { within } else { vec![Range { first: seal.first, last: seal.last }] }
    }

    fn amend(&self, seal: &Seal, amend: Amend) -> Result<(), Stopped> {
        let mut notes: Vec<CallNote> = amend.lost.iter().map(|range| CallNote::Lost(*range)).collect();
        notes.push(CallNote::Amended { number: seal.number, amend });
        self.shared.note(notes)
    }

    fn restored(&self, seal: &Seal) -> Result<(), Stopped> {
        self.shared.note(vec![CallNote::Restored { number: seal.number }])
    }

    fn make_room(&self, seal: &Seal, object: &mut dyn io::Read, parked: Parked) -> Result<bool, Stopped> {
        self.park(seal, object, parked)
    }

    fn open_for_put(&self, seal: &Seal) -> io::Result<KeptObject> {
        self.open_parked(seal)
    }
}

impl SpoolLog {
    /// Gives the frames after a seal the age of their own first frame. With the age of the sealed frames they
    /// would be due at once, and objects would become tiny.
    fn set_age_of_rest(&self, batch: &BatchKey, sealed: u64) {
        let mut rest = None;
        let read = self.read(batch, sealed, u64::MAX, &mut |read| {
            let Read::Frame(frame) = read else { return Ok(Go::On) };
            rest = Some((frame.position, frame.received_at));
            Ok(Go::Stop)
        });
        if let Err(error) = read {
            tracing::warn!(
                %error,
                %batch,
                "the rest of a batch cannot be read at present, so its age is counted from now"
            );
            rest = Some((sealed + 1, self.shared.clock.wall()));
        }
        if let Some((position, at)) = rest {
            lock(&self.shared.index).first_open(batch, position, at);
        }
    }
}
