//! Parked objects: sealed objects in their own files, whose frames can be released.

use std::io;

use super::SpoolLog;
use crate::disk::{Disk, is_no_handle, read_all};
use crate::log::notes::OpenFrames as _;
use crate::log::{KeptBytes, KeptObject, Parked, Seal, Seals as _, Stopped};
use crate::spool::format::parked_name;
use crate::spool::manifest::FileNote;
use crate::spool::shared::lock;

impl SpoolLog {
    /// See [`Seals::make_room`](crate::log::Seals::make_room).
    pub(super) fn park(
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

    /// See [`Seals::open_for_put`](crate::log::Seals::open_for_put).
    pub(super) fn open_parked(&self, seal: &Seal) -> io::Result<KeptObject> {
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
