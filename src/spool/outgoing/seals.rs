//! Seals, commits, and parked objects: sealed objects in their own files, whose frames can be released.

use std::io;

use super::{SpoolLog, log_lost};
use crate::batch::BatchKey;
use crate::disk::{Disk, is_no_handle, read_all};
use crate::log::notes::{CallNote, NoteKeeper as _, OpenFrames as _, seals};
use crate::log::{
    Amend, Batches, Encoded, Go, KeptBytes, KeptObject, Parked, PendingSeal, Range, Read, Seal, Seals,
    Stopped,
};
use crate::object::{AppliedEncryption, ObjectKey, S3Location};
use crate::planted_bugs::{PlantedBug, planted};
use crate::spool::format::parked_name;
use crate::spool::manifest::FileNote;
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

    fn is_at_hand(&self, _number: u64) -> bool {
        true
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

    fn how_to_decide(&self, number: u64) -> String {
        format!(
            "stops Forebay and decides with `forebay spool resolve SPOOL --seal {number} --action ACTION`"
        )
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
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        if let Err(error) = write_parked(&*self.shared.disk, &parked_name(seal.number), object) {
            // Nothing is lost: the frames are still in the segments.
            self.not_parked(&error, seal.number);
            self.remove_parked(seal.number);
            return Ok(false);
        }
        let amended = self.pending_seal(seal.number).and_then(|pending| pending.amended).map(Box::new);
        let note =
            FileNote::Parked { number: seal.number, parked, seal: Some(Box::new(seal.clone())), amended };
        let noted = self.shared.note_and(vec![note], |state, index| {
            *index.parked.entry(seal.batch.source.clone()).or_default() += parked.len;
            index.release(&seal.batch, state.calls.released_through(&seal.batch));
        });
        if let Err(stopped) = noted {
            if self.shared.is_poisoned() {
                return Err(stopped);
            }
            // The note found no space. Removing the file may free what the note needs.
            self.remove_parked(seal.number);
            return Ok(false);
        }
        self.shared.wake_housekeeper();
        Ok(true)
    }

    fn open_for_put(&self, seal: &Seal) -> io::Result<KeptObject> {
        let name = parked_name(seal.number);
        let known = self.shared.state().calls.seals.get(&seal.number).and_then(|pending| pending.parked);
        let opened = match known {
            Some(parked) => open(&*self.shared.disk, &name, parked),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no note says that it is parked")),
        };
        // A lack of handles is known by its number, which another message would hide.
        opened.map_err(|error| match is_no_handle(&error) {
            true => error,
            false => io::Error::new(error.kind(), format!("{name}: {error}")),
        })
    }

    fn makes_again(&self, _number: u64) -> bool {
        false
    }
}

impl SpoolLog {
    /// Logs at most once a minute: on a full disk parking is retried each second for each object.
    fn not_parked(&self, error: &io::Error, seal: u64) {
        let line = lock(&self.shared.not_parked).happened((), self.shared.clock.monotonic());
        if let Some(line) = line {
            tracing::warn!(
                %error,
                seal,
                times = line.times,
                "an object could not be parked; its frames stay in the spool"
            );
        }
    }

    /// Removes the parked file of a committed seal, and its bytes from the counts.
    fn unpark(&self, seal: &Seal, parked: Parked) {
        let mut index = lock(&self.shared.index);
        if let Some(bytes) = index.parked.get_mut(&seal.batch.source) {
            *bytes = bytes.saturating_sub(parked.len);
        }
        index.parked.retain(|_, bytes| *bytes > 0);
        drop(index);
        self.remove_parked(seal.number);
    }

    /// Removes a file that no note refers to. If that fails, the next start removes it.
    fn remove_parked(&self, number: u64) {
        if let Err(error) = self.shared.disk.remove(&parked_name(number)) {
            tracing::warn!(
                %error,
                seal = number,
                "a parked file cannot be removed; the next start removes it"
            );
        }
    }

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

fn open(disk: &dyn Disk, name: &str, parked: Parked) -> io::Result<KeptObject> {
    let file = disk.open(name)?;
    // A file that is missing or was cut is reported here; in the body, both would look like a store that
    // breaks off.
    let len = file.len()?;
    if len < parked.len {
        let why = format!("its file has {len} bytes and had {}", parked.len);
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
    }
    let bytes = match disk.path(name) {
        Some(path) => KeptBytes::File { path, len: parked.len },
        None => KeptBytes::Memory(read_all(&*file)?),
    };
    Ok(KeptObject { bytes, crc32: parked.crc32 })
}

fn write_parked(disk: &dyn Disk, name: &str, object: &mut dyn io::Read) -> io::Result<()> {
    let file = disk.create(name)?;
    let mut piece = vec![0; 256 * 1_024];
    let mut at = 0;
    loop {
        let read = object.read(&mut piece)?;
        if read == 0 {
            break;
        }
        file.write_at(&[io::IoSlice::new(piece.get(..read).unwrap_or(&[]))], at)?;
        at += read as u64;
    }
    file.sync()?;
    disk.sync_dir("parked")
}
