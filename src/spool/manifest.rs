//! The manifest: an append-only file of notes, each synced before it counts.
//!
//! ```text
//! manifest := note*
//! note     := len u32 | crc u32 | JSON
//! ```
//!
//! `crc` is CRC-32C over `len` and the JSON, salted with the spool id and the manifest's number. The first note holds the
//! whole state, so a manifest stands alone: a new one is written, synced and renamed before the old one is removed.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{self, Disk, DiskFile, read_all};
use super::frame::Salt;
use super::note::Note;
use super::state::State;
use crate::planted::{PlantedBug, planted};

/// Bytes set aside so that the manifest can still be written when the disk is full.
const RESERVE_BYTES: usize = 4 * 1_024 * 1_024;
/// What it is filled with. Nothing reads or writes it but the kernel, so it takes no memory.
static ZEROS: [u8; RESERVE_BYTES] = [0; RESERVE_BYTES];
/// The file that sets them aside.
pub(super) const RESERVE: &str = "reserve";
/// Salts of manifests must differ from those of segments with the same number.
const SALT_SPACE: u64 = 1 << 63;

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk says no.
    #[error("read the manifest {name}")]
    Disk {
        /// The file.
        name: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Neither of the two notes that it begins with can be read.
    #[error("the manifest {name} is damaged at its beginning; `forebay spool verify` tells more")]
    Damaged {
        /// The file.
        name: String,
    },
    /// A note in the middle cannot be read, though others follow.
    #[error(
        "the manifest {name} is damaged at byte {at}, with notes after it; `forebay spool verify` tells more"
    )]
    DamagedWithin {
        /// The file.
        name: String,
        /// Where.
        at: usize,
    },
    /// Notes at the end cannot be read, though what they said was done.
    #[error(
        "the manifest {name} is damaged from byte {at} on: what notes said there was done; `forebay spool verify` tells more"
    )]
    DamagedEnd {
        /// The file.
        name: String,
        /// Where.
        at: usize,
    },
}

/// The open manifest.
#[derive(Debug)]
pub struct Manifest {
    disk: Arc<dyn Disk>,
    spool_id: [u8; 16],
    number: u64,
    file: Arc<dyn DiskFile>,
    end: u64,
    first_note: u64,
    reserve: bool,
    /// By a lock of its own: whoever only wants to know need not wait for a sync.
    state: Arc<Mutex<State>>,
}

/// A manifest that is written and has no name yet. Everything that needs a file handle is done by then: an error after the
/// rename stops the spool.
struct Unnamed {
    file: Arc<dyn DiskFile>,
    end: u64,
    /// The names of those before it.
    older: Vec<String>,
}

/// The file name of a manifest.
pub fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:020}")
}

/// What the checksums of a manifest begin with.
pub fn salt(spool_id: &[u8; 16], number: u64) -> Salt {
    Salt::new(spool_id, SALT_SPACE | number)
}

/// A note as it stands in a manifest.
///
/// # Errors
/// Where the note cannot be written as JSON, or is longer than a length says.
pub fn encode(note: &Note, salt: Salt) -> io::Result<Vec<u8>> {
    encode_json(note, salt)
}

/// As [`encode`] would write `Note::State`, of a state that stays where it is: with ten thousand sources a copy takes tens of
/// megabytes.
fn encode_state(state: &State, salt: Salt) -> io::Result<Vec<u8>> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Note<'a> {
        State(&'a State),
    }
    encode_json(&Note::State(state), salt)
}

fn encode_json(note: &impl serde::Serialize, salt: Salt) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 8];
    serde_json::to_writer(&mut bytes, note).map_err(io::Error::other)?;
    let (head, json) = bytes.split_at_mut(8);
    let len = u32::try_from(json.len()).map_err(io::Error::other)?.to_le_bytes();
    let (at_len, at_checksum) = head.split_at_mut(4);
    at_len.copy_from_slice(&len);
    at_checksum.copy_from_slice(&salt.checksum(&len, json).to_le_bytes());
    Ok(bytes)
}

/// The note that `bytes` begin with, and its length.
pub fn decode(bytes: &[u8], salt: Salt) -> Option<(Note, usize)> {
    let len_bytes = bytes.get(..4)?;
    let len = u32::from_le_bytes(len_bytes.try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let json = bytes.get(8..8 + len)?;
    if len == 0 || salt.checksum(len_bytes, json) != crc {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, 8 + len))
}

/// Reads the notes of a manifest's bytes into the state they make, and counts them.
///
/// # Errors
/// [`ManifestError`] where a note is damaged that is not the torn last one.
pub fn replay(
    name: &str,
    bytes: &[u8],
    spool_id: &[u8; 16],
    number: u64,
) -> Result<(State, usize), ManifestError> {
    let replayed = replay_past_damage(name, bytes, spool_id, number)?;
    match replayed.damaged_at {
        Some(at) => Err(ManifestError::DamagedWithin { name: name.to_owned(), at }),
        None => Ok((replayed.state, replayed.notes)),
    }
}

/// What a manifest begins with: the state that there was, twice, so that no one place of it is needed.
#[derive(Debug)]
pub struct Beginning {
    /// The state.
    pub state: State,
    /// Where the notes after it begin.
    pub end: usize,
    /// Which of the two cannot be read, from and to.
    pub damaged: Option<(usize, usize)>,
}

/// Reads the beginning of a manifest's bytes. An older release wrote the state once.
pub fn beginning(bytes: &[u8], salt: Salt) -> Option<Beginning> {
    let state_at = |at: usize| match decode(bytes.get(at..)?, salt)? {
        (Note::State(state), len) => Some((*state, len)),
        _ => None,
    };
    if let Some((state, len)) = state_at(0) {
        let again = bytes.get(len..2 * len);
        if again == bytes.get(..len) {
            return Some(Beginning { state, end: 2 * len, damaged: None });
        }
        let follows = bytes.len() == 2 * len || decode(bytes.get(2 * len..).unwrap_or(&[]), salt).is_some();
        return Some(match follows {
            true => Beginning { state, end: 2 * len, damaged: Some((len, 2 * len)) },
            false => Beginning { state, end: len, damaged: None },
        });
    }
    // The second begins at its own length.
    let is_second = |at: &usize| {
        let len =
            bytes.get(*at..*at + 4).and_then(|len| <[u8; 4]>::try_from(len).ok()).map(u32::from_le_bytes);
        len.is_some_and(|len| len as usize + 8 == *at)
    };
    (8..bytes.len()).filter(is_second).find_map(|at| {
        let (state, len) = state_at(at)?;
        Some(Beginning { state, end: at + len, damaged: Some((0, at)) })
    })
}

/// What the notes of a manifest say that can be read.
#[derive(Debug)]
pub struct Replayed {
    /// The state they make.
    pub state: State,
    /// How many they are; the two that it begins with count as one.
    pub notes: usize,
    /// Whether one of those two cannot be read. Nothing is missing by it.
    pub one_of_two: bool,
    /// Where the first lies that cannot be read though others follow.
    pub damaged_at: Option<usize>,
    /// Where bytes begin, behind the last sound note, that cannot be read: a torn note that was never acted upon, or notes
    /// that rotted. The manifest alone cannot tell which.
    pub unread_end: Option<usize>,
}

/// Reads what can be read of a manifest's bytes.
///
/// # Errors
/// [`ManifestError::Damaged`] where neither of the notes that it begins with can be read: then too little is known to go on.
pub fn replay_past_damage(
    name: &str,
    bytes: &[u8],
    spool_id: &[u8; 16],
    number: u64,
) -> Result<Replayed, ManifestError> {
    let salt = salt(spool_id, number);
    let note_at = |at: usize| decode(bytes.get(at..).unwrap_or(&[]), salt);
    let Some(Beginning { state, end, damaged }) = beginning(bytes, salt) else {
        return Err(ManifestError::Damaged { name: name.to_owned() });
    };
    let mut replayed =
        Replayed { state, notes: 1, one_of_two: damaged.is_some(), damaged_at: None, unread_end: None };
    let mut at = end;
    loop {
        while let Some((note, len)) = note_at(at) {
            replayed.state.apply(note);
            at += len;
            replayed.notes += 1;
        }
        // A sound note behind a bad one means that the bad one was synced once.
        let Some(next) = (at + 1..bytes.len()).find(|at| note_at(*at).is_some()) else {
            replayed.unread_end = (at < bytes.len()).then_some(at);
            return Ok(replayed);
        };
        replayed.damaged_at.get_or_insert(at);
        at = next;
    }
}

/// Reads the newest manifest of a spool, if there is one, changing nothing. Returns its number and state.
///
/// # Errors
/// [`ManifestError`].
pub fn read_newest(disk: &dyn Disk, spool_id: &[u8; 16]) -> Result<Option<(u64, State)>, ManifestError> {
    let Some((number, name, bytes)) = newest(disk)? else { return Ok(None) };
    replay(&name, &bytes, spool_id, number).map(|(state, _)| Some((number, state)))
}

/// Like [`read_newest`], but steps over notes that cannot be read.
///
/// # Errors
/// [`ManifestError`], but never [`ManifestError::DamagedWithin`].
pub fn read_newest_past_damage(
    disk: &dyn Disk,
    spool_id: &[u8; 16],
) -> Result<Option<(u64, Replayed)>, ManifestError> {
    let Some((number, name, bytes)) = newest(disk)? else { return Ok(None) };
    replay_past_damage(&name, &bytes, spool_id, number).map(|replayed| Some((number, replayed)))
}

fn newest(disk: &dyn Disk) -> Result<Option<(u64, String, Vec<u8>)>, ManifestError> {
    let failed = |name: &str, cause| ManifestError::Disk { name: name.to_owned(), cause };
    let files = disk.list("").map_err(|cause| failed("directory", cause))?;
    let number = files.iter().filter_map(|(name, _)| super::segment::number_in(name, "MANIFEST-", "")).max();
    let Some(number) = number else { return Ok(None) };
    let name = manifest_name(number);
    let bytes = disk.open(&name).and_then(|file| read_all(&*file)).map_err(|cause| failed(&name, cause))?;
    Ok(Some((number, name, bytes)))
}

impl Manifest {
    /// Begins a new manifest that holds `state`, and removes older ones.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(disk: Arc<dyn Disk>, spool_id: [u8; 16], number: u64, state: State) -> io::Result<Self> {
        let written = Self::write_state(&*disk, number, &encode_state(&state, salt(&spool_id, number))?)?;
        Self::use_new(disk, spool_id, number, Arc::new(Mutex::new(state)), written)
    }

    /// Writes the note of a state, twice, as the beginning of a manifest that has no name yet.
    fn write_state(disk: &dyn Disk, number: u64, note: &[u8]) -> io::Result<Unnamed> {
        let parts = [IoSlice::new(note), IoSlice::new(note)];
        let file = disk::write_temporary(disk, &manifest_name(number), &parts)?;
        let names = disk.list("")?.into_iter().map(|(name, _)| name);
        let is_older =
            |name: &String| super::segment::number_in(name, "MANIFEST-", "").is_some_and(|old| old < number);
        Ok(Unnamed { file, end: 2 * note.len() as u64, older: names.filter(is_older).collect() })
    }

    fn use_new(
        disk: Arc<dyn Disk>,
        spool_id: [u8; 16],
        number: u64,
        state: Arc<Mutex<State>>,
        Unnamed { file, end, older }: Unnamed,
    ) -> io::Result<Self> {
        disk::publish(&*disk, &manifest_name(number))?;
        for name in older {
            disk.remove(&name)?;
        }
        let mut manifest = Self { disk, spool_id, number, file, end, first_note: end, reserve: false, state };
        manifest.set_aside();
        Ok(manifest)
    }

    /// What all notes say that are on disk. Whoever holds it keeps the next note from being taken in.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for those who do not hold the manifest.
    pub fn shared_state(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.state)
    }

    /// Appends notes, syncs them, and only then takes them into the state. Several have one checksum: a crash may tear what is
    /// written at once anywhere, and a later one that is sound behind one that is torn would look like damage.
    ///
    /// # Errors
    /// What the disk says. The spool must stop then: whether the notes are on disk is not known.
    pub fn append(&mut self, notes: Vec<Note>) -> io::Result<()> {
        self.append_and(notes, |_| ())
    }

    /// The same, and does `then` with the state before anybody else sees it. `then` may not ask for it again.
    ///
    /// # Errors
    /// As [`Manifest::append`].
    pub fn append_and<T>(&mut self, notes: Vec<Note>, then: impl FnOnce(&State) -> T) -> io::Result<T> {
        let Some(note) = Note::together(notes) else { return Ok(then(&self.state())) };
        let bytes = encode(&note, salt(&self.spool_id, self.number))?;
        self.write(&bytes)?;
        let seals = matches!(note, Note::Sealed(_));
        if !(seals && planted(PlantedBug::SealNotSynced)) {
            self.file.sync()?;
        }
        self.end += bytes.len() as u64;
        let mut state = self.state();
        state.apply(note);
        Ok(then(&state))
    }

    /// Nothing is synced yet, so a write that found the disk full may be done again once the reserve is given up.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_at(&[IoSlice::new(bytes)], self.end) {
            Err(error) if disk::is_no_space(&error) && self.reserve => {
                tracing::warn!("the disk is full: the manifest takes the space that was set aside for it");
                self.reserve = false;
                self.disk.remove(RESERVE)?;
                self.file.write_at(&[IoSlice::new(bytes)], self.end)
            }
            written => written,
        }
    }

    /// Whether the manifest has grown so long, beyond `compact_bytes`, that a new one should be begun.
    pub fn is_long(&self, compact_bytes: u64) -> bool {
        self.end > compact_bytes && self.end > 4 * self.first_note
    }

    /// Begins a new manifest in place of this one. Where there is no space, or no file handle, for it this one stays in use.
    ///
    /// # Errors
    /// What the disk says. The spool must stop then: which manifest a restart would find is not known.
    pub fn compact(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        // The state is free again before the disk is waited for.
        let note = encode_state(&self.state(), salt(&self.spool_id, number))?;
        let written = Self::write_state(&*self.disk, number, &note);
        drop(note);
        match written {
            Ok(unnamed) => {
                let state = Arc::clone(&self.state);
                *self = Self::use_new(Arc::clone(&self.disk), self.spool_id, number, state, unnamed)?;
                Ok(())
            }
            // Only before it has its name: behind that, notes in the old one would be lost.
            Err(error) if disk::is_no_space(&error) || disk::is_no_handle(&error) => {
                self.disk.remove(&disk::temporary_name(&manifest_name(number)))
            }
            Err(error) => Err(error),
        }
    }

    /// Changes the state before it is written anew: see [`State::prune`].
    pub fn prune(&mut self, keep_from: crate::time::UnixMillis, oldest_position: u64) {
        self.state().prune(keep_from, oldest_position);
    }

    /// Sets the reserve aside, where there is space for it.
    pub fn set_aside(&mut self) {
        if self.reserve {
            return;
        }
        let made = self.disk.create(RESERVE).and_then(|file| {
            file.write_at(&[IoSlice::new(&ZEROS)], 0)?;
            file.sync()
        });
        self.reserve = made.is_ok();
        if let Err(error) = made
            && let Err(error) = self.disk.remove(RESERVE).map_err(|_| error)
        {
            tracing::warn!(%error, "no space can be set aside for the manifest");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_stays_is_written_as_one_that_is_moved() {
        let salt = salt(&[7; 16], 3);
        let state = State { next_seal: 5, ..State::new() };
        let note = Note::State(Box::new(state.clone()));
        assert_eq!(encode_state(&state, salt).unwrap(), encode(&note, salt).unwrap());
        assert_eq!(decode(&encode_state(&state, salt).unwrap(), salt).map(|(note, _)| note), Some(note));
    }
}
