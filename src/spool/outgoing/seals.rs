//! Seals and commits.

use std::io;

use super::{SpoolLog, log_lost};
use crate::batch::BatchKey;
use crate::log::notes::{CallNote, NoteKeeper as _, OpenFrames as _, seals};
use crate::log::{
    Amend, Batches, Encoded, Go, KeptObject, Parked, PendingSeal, Range, Read, Seal, Seals, Stopped,
};
use crate::object::{AppliedEncryption, ObjectKey, S3Location};
use crate::planted_bugs::{PlantedBug, planted};
use crate::spool::shared::lock;

impl Seals for SpoolLog {
    fn seal(
        &self,
        batch: &BatchKey,
        encoded: &Encoded,
        location: S3Location,
        object_key: ObjectKey,
    ) -> Result<Seal, Stopped> {
        let (seal, lost) = seals::seal(&*self.shared, batch, encoded, location, object_key)?;
        log_lost(batch, lost);
        self.set_age_of_rest(batch, seal.last);
        if planted(PlantedBug::UnlinkBeforeCommit) {
            lock(&self.shared.index).release(&seal.batch, seal.last);
            self.shared.wake_housekeeper();
        }
        Ok(seal)
    }

    fn pending_seal(&self, number: u64) -> Option<PendingSeal> {
        self.shared.read(|state| state.seals.get(&number).cloned())
    }

    fn commit(&self, seal: &Seal, applied: Option<AppliedEncryption>) -> Result<(), Stopped> {
        let pending = seals::commit(&*self.shared, seal, applied)?;
        self.shared.wake_housekeeper();
        if let Some(parked) = pending.and_then(|pending| pending.parked) {
            self.unpark(seal, parked);
        }
        Ok(())
    }

    fn conflict(&self, seal: &Seal) -> Result<(), Stopped> {
        self.shared.append(vec![CallNote::Conflict { number: seal.number }])
    }

    fn lost_of(&self, seal: &Seal) -> Vec<Range> {
        seals::lost_of(&*self.shared, seal)
    }

    fn amend(&self, seal: &Seal, amend: Amend) -> Result<(), Stopped> {
        seals::amend(&*self.shared, seal, amend)
    }

    fn restored(&self, seal: &Seal) -> Result<(), Stopped> {
        self.shared.append(vec![CallNote::Restored { number: seal.number }])
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
