//! Parked objects: sealed objects in their own files, whose frames can be released.

use std::io;

use super::SpoolLog;
use crate::disk::Disk;
use crate::log::{Parked, Seal, Seals, Stopped, parked_name};
use crate::spool::manifest::note::Note;
use crate::spool::shared::lock;

impl SpoolLog {
    /// See [`Seals::park`].
    pub(super) fn park_object(
        &self,
        seal: &Seal,
        object: &mut dyn io::Read,
        parked: Parked,
    ) -> Result<bool, Stopped> {
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
        let note = Note::Parked { number: seal.number, parked, seal: Some(Box::new(seal.clone())), amended };
        let noted = self.shared.note_and(vec![note], |state, index| {
            *index.parked.entry(seal.batch.source.clone()).or_default() += parked.len;
            index.release(&seal.batch, state.released_through(&seal.batch));
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

    /// Logs at most once a minute: on a full disk parking is retried each second for each object.
    fn not_parked(&self, error: &io::Error, seal: u64) {
        let line = lock(&self.shared.not_parked).happened((), self.shared.clock.monotonic());
        if let Some(line) = line {
            let times = line.times;
            tracing::warn!(
                %error,
                seal,
                times,
                "an object could not be parked; its frames stay in the spool"
            );
        }
    }

    /// Removes the parked file of a committed seal, and its bytes from the counts.
    pub(super) fn unpark(&self, seal: &Seal, parked: Parked) {
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
