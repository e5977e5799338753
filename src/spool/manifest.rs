//! The manifest: an append-only file of notes, each synced before it counts.
//!
//! ```text
//! manifest := note* filler
//! note     := len u32 | crc u32 | JSON
//! ```
//!
//! `crc` is CRC-32C over `len` and the JSON, salted with the spool id and the manifest's number. The first note holds the
//! whole state, so a manifest stands alone: a new one is written, synced and renamed before the old one goes.
//!
//! A manifest needs no free space: its file is filled when it is begun, so notes are written over bytes that it has
//! already. The filler is 0xFF, so that notes that rotted to zeroes do not look like space that was never used. The file `reserve` becomes the next manifest, and the manifest that it replaces becomes the reserve.
//! Nothing else can take that space, so notes and a start work on a disk without a free byte (decision 0121). A seal
//! makes the state longer, and needs notes of its own later: on a full disk none is written where the next manifest, and
//! what makes room, would no longer find theirs.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{self, Disk, DiskFile, read_all};
use super::frame::Salt;
use super::note::Note;
use super::state::State;
use crate::planted::{PlantedBug, planted};

/// Length of a manifest's file, and of its reserve, unless its state needs more. In bytes.
pub const MANIFEST_BYTES: u64 = 4 * 1_024 * 1_024;
/// The file that becomes the next manifest.
pub(super) const RESERVE: &str = "reserve";
/// What a manifest is filled with.
const FILLER: u8 = 0xFF;
static FILLED: [u8; 64 * 1_024] = [FILLER; 64 * 1_024];
/// So many of these are written at once.
const FILLED_AT_ONCE: usize = 16;
/// A file is at least so many times as long as the state that it begins with.
const ROOM_TIMES: u64 = 2;
/// A manifest is long when it is so many times as long as the state that it begins with.
const LONG_TIMES: u64 = 4;
/// A manifest that began with fewer pending objects is not written anew because they are delivered.
const MANY_SEALS: u64 = 16;
/// Seals leave at least so many bytes of the file: more than a note takes.
const KEPT_FROM_SEALS: u64 = 4_096;
/// A file that must grow does so by one part of so many of its least length.
const GROWTH_PART: u64 = 16;
/// The state that notes make is at most so many times as long as they are: a first object of a day makes a cursor, a day and
/// a row of the ledger, too.
const STATE_TIMES: u64 = 2;
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
    /// Where the state that it begins with ends.
    first_note: u64,
    /// That state stands there once: there was no space for it twice.
    stands_once: bool,
    /// Pending objects at that time.
    first_seals: u64,
    /// Length of its file: notes up to here need no space.
    len: u64,
    /// Length of the reserve; 0 where there is none.
    reserve: u64,
    /// Length that the file and the reserve should have at least.
    bytes: u64,
    /// By a lock of its own: whoever only wants to know need not wait for a sync.
    state: Arc<Mutex<State>>,
}

/// The file name of a manifest.
pub fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:020}")
}

/// The number of the manifest whose file has this name.
fn number_of(name: &str) -> Option<u64> {
    super::segment::number_in(name, "MANIFEST-", "")
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

/// The bytes of a manifest without the filler at its end. A note ends with `}`, so none is cut.
pub fn written(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != FILLER).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// Reads the beginning of a manifest's bytes. An older release wrote the state once.
pub fn beginning(bytes: &[u8], salt: Salt) -> Option<Beginning> {
    let bytes = written(bytes);
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
        // It stands once where a full disk had no space for two, too.
        let once = decode(bytes.get(len..).unwrap_or(&[]), salt)
            .is_some_and(|(note, _)| !matches!(note, Note::State(_)));
        return Some(match follows && !once {
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
    let (salt, bytes) = (salt(spool_id, number), written(bytes));
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
    let number = files.iter().filter_map(|(name, _)| number_of(name)).max();
    let Some(number) = number else { return Ok(None) };
    let name = manifest_name(number);
    let bytes = disk.open(&name).and_then(|file| read_all(&*file)).map_err(|cause| failed(&name, cause))?;
    Ok(Some((number, name, bytes)))
}

/// A manifest that is written and synced, and does not have its name yet.
struct Unnamed {
    /// Its name until then.
    from: String,
    file: Arc<dyn DiskFile>,
    /// Where its state ends.
    end: u64,
    /// The file's length.
    len: u64,
    /// Its state stands there once.
    stands_once: bool,
}

impl Manifest {
    /// Begins a new manifest that holds `state`, and lets older ones go. It and its reserve are [`MANIFEST_BYTES`] long.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(disk: Arc<dyn Disk>, spool_id: [u8; 16], number: u64, state: State) -> io::Result<Self> {
        Self::begin_of(disk, spool_id, number, state, MANIFEST_BYTES)
    }

    /// The same, with files of at least `bytes`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin_of(
        disk: Arc<dyn Disk>,
        spool_id: [u8; 16],
        number: u64,
        state: State,
        bytes: u64,
    ) -> io::Result<Self> {
        take_back_reserve(&*disk, number)?;
        let new = write_state(&*disk, number, &encode_state(&state, salt(&spool_id, number))?, bytes)?;
        Self::use_new(disk, spool_id, number, (new, bytes), Arc::new(Mutex::new(state)))
    }

    fn use_new(
        disk: Arc<dyn Disk>,
        spool_id: [u8; 16],
        number: u64,
        (new, bytes): (Unnamed, u64),
        state: Arc<Mutex<State>>,
    ) -> io::Result<Self> {
        let Unnamed { from, file, end, len, stands_once } = new;
        let name = manifest_name(number);
        disk.rename(&from, &name)?;
        if !planted(PlantedBug::NoDirectorySync) {
            // Final: a restart would find the new one, or the old one.
            disk.sync_dir("").map_err(io::Error::other)?;
        }
        // By its new name; without a free file handle the old one is as good.
        let file = disk.open(&name).unwrap_or(file);
        let reserve = let_older_go(&*disk, number).unwrap_or_else(|error| {
            tracing::warn!(%error, "older manifests are left; the next start removes them");
            0
        });
        let first_seals = state.lock().unwrap_or_else(PoisonError::into_inner).seals.len() as u64;
        let mut manifest = Self {
            disk,
            spool_id,
            number,
            file,
            end,
            first_note: end,
            stands_once,
            first_seals,
            len,
            reserve,
            bytes,
            state,
        };
        if let Some(why) = manifest.set_aside() {
            tracing::warn!("{why}");
        }
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
    /// written at once anywhere, and a later one that is sound after one that is torn would look like damage.
    ///
    /// # Errors
    /// What the disk says. Where it has no space, no note was written, and a later try may succeed. After any other error the
    /// spool must stop: whether the notes are on disk is not known.
    pub fn append(&mut self, notes: Vec<Note>) -> io::Result<()> {
        self.append_and(notes, |_| ())
    }

    /// The same, and does `then` with the state before anybody else sees it. `then` may not ask for it again.
    ///
    /// # Errors
    /// As [`Manifest::append`].
    pub fn append_and<T>(&mut self, notes: Vec<Note>, then: impl FnOnce(&State) -> T) -> io::Result<T> {
        let Some(note) = Note::together(notes) else { return Ok(then(&self.state())) };
        let len = self.write(&note)?;
        let seals = matches!(note, Note::Sealed(_));
        if !(seals && planted(PlantedBug::SealNotSynced)) {
            self.file.sync().map_err(not_space)?;
        }
        self.end += len;
        self.len = self.len.max(self.end);
        let mut state = self.state();
        state.apply(note);
        Ok(then(&state))
    }

    /// Writes a note after the others, and returns its length. Nothing is synced yet, so a write that found the disk full may
    /// be done again in a new manifest, which takes the place of the reserve.
    fn write(&mut self, note: &Note) -> io::Result<u64> {
        match self.try_write(note) {
            Err(error) if disk::is_no_space(&error) => {
                self.compact()?;
                self.try_write(note)
            }
            written => written,
        }
    }

    fn try_write(&mut self, note: &Note) -> io::Result<u64> {
        let mut bytes = encode(note, salt(&self.spool_id, self.number))?;
        if matches!(note, Note::Sealed(_)) && self.len < self.len_for(bytes.len()) {
            // Rather a new manifest than a longer one, as soon as its notes are longer than its state.
            if self.end > self.bytes.max(2 * self.first_note) {
                self.compact()?;
                bytes = encode(note, salt(&self.spool_id, self.number))?;
            }
            self.grow(self.len_for(bytes.len()))?;
        }
        self.file.write_at(&[IoSlice::new(&bytes)], self.end)?;
        Ok(bytes.len() as u64)
    }

    /// Makes the file so long, and a little longer; the reserve first, which the state must fit into.
    fn grow(&mut self, len: u64) -> io::Result<()> {
        if self.len >= len {
            return Ok(());
        }
        let len = len + self.bytes / GROWTH_PART;
        if let Some(why) = self.set_aside_for(len) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        fill(&*self.file, self.len, len - self.len)?;
        self.len = len;
        Ok(())
    }

    /// How long the file should be to take a seal's note of `len` bytes: a file of that length has room for the state that the
    /// next manifest would begin with, once, and for the notes by which that state gets shorter.
    fn len_for(&self, len: usize) -> u64 {
        let began_with = if self.stands_once { self.first_note } else { self.first_note / 2 };
        let end = self.end + len as u64;
        let next = began_with + STATE_TIMES * (end - self.first_note);
        KEPT_FROM_SEALS + end.max(next)
    }

    /// Whether the state that it begins with stands there once, which one bad sector could take.
    pub fn stands_once(&self) -> bool {
        self.stands_once
    }

    /// Whether the manifest has grown so long, beyond `compact_bytes`, that a new one should be begun. So it should in a file
    /// that is much longer than the state needs, and where the state itself has become small.
    pub fn is_long(&self, compact_bytes: u64) -> bool {
        let wanted = wanted_len(self.first_note, self.bytes);
        let len = self.len.max(self.end);
        (self.end > compact_bytes && self.end > LONG_TIMES * self.first_note)
            || len > LONG_TIMES * wanted
            || (len > self.bytes && self.has_few_seals_left())
    }

    /// Whether most of many seals that the file began with are delivered.
    fn has_few_seals_left(&self) -> bool {
        self.first_seals >= MANY_SEALS && LONG_TIMES * (self.state().seals.len() as u64) < self.first_seals
    }

    /// Begins a new manifest in place of this one. Where there is no space, or no file handle, for it this one stays in use.
    ///
    /// # Errors
    /// What the disk says. The spool must stop then: which manifest a restart would find is not known.
    pub fn compact(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        // The state is free again before the disk is waited for.
        let note = encode_state(&self.state(), salt(&self.spool_id, number))?;
        let written = write_state(&*self.disk, number, &note, self.bytes);
        drop(note);
        let used = written.and_then(|new| {
            let (state, disk) = (Arc::clone(&self.state), Arc::clone(&self.disk));
            Self::use_new(disk, self.spool_id, number, (new, self.bytes), state)
        });
        match used {
            Ok(new) => {
                *self = new;
                Ok(())
            }
            // Only before it has its name (xfs may have no space for that): after that, notes in the old one would be lost.
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

    /// Makes the reserve as long as the next manifest should be, as far as there is space. Returns what stands against it.
    pub fn set_aside(&mut self) -> Option<String> {
        self.set_aside_for(wanted_len(self.first_note, self.bytes).max(self.len))
    }

    fn set_aside_for(&mut self, wanted: u64) -> Option<String> {
        let too_long = self.reserve > LONG_TIMES * wanted;
        if self.reserve >= wanted && !too_long {
            return None;
        }
        let grow = || {
            if too_long {
                self.disk.remove(RESERVE)?;
            }
            let file = match self.disk.open(RESERVE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let file = self.disk.create(RESERVE)?;
                    // A crash would take a file without a durable name, and its space with it.
                    self.disk.sync_dir("")?;
                    file
                }
                opened => opened?,
            };
            let len = file.len()?;
            let filled = fill(&*file, len, wanted.saturating_sub(len));
            sync_reserve(&*self.disk, &*file)?;
            // What fits is kept: a reserve that is short is better than none.
            Ok((file.len()?, filled))
        };
        let outcome: io::Result<(u64, io::Result<()>)> = grow();
        match outcome {
            Ok((len, grown)) => {
                self.reserve = len;
                let too_short = |error| {
                    format!(
                        "the reserve of the spool's manifest is too short ({len} of {wanted} bytes); it grows when there is space: {error}"
                    )
                };
                grown.err().map(too_short)
            }
            Err(error) => {
                self.reserve = 0;
                Some(format!("the spool's manifest has no reserve; it is made when there is space: {error}"))
            }
        }
    }
}

/// After a failed sync the kernel may take for written what is not: a reserve is made anew then.
fn sync_reserve(disk: &dyn Disk, file: &dyn DiskFile) -> io::Result<()> {
    file.sync().inspect_err(|_| {
        if let Err(error) = disk.remove(RESERVE) {
            tracing::warn!(%error, "the manifest's reserve could not be written, and cannot be removed");
        }
    })
}

fn fill(file: &dyn DiskFile, at: u64, len: u64) -> io::Result<()> {
    let (mut at, end) = (at, at.saturating_add(len));
    while at < end {
        let pieces = (at..end).step_by(FILLED.len()).take(FILLED_AT_ONCE);
        let piece = |from: u64| {
            IoSlice::new(FILLED.get(..usize::try_from(end - from).unwrap_or(usize::MAX)).unwrap_or(&FILLED))
        };
        let pieces: Vec<_> = pieces.map(piece).collect();
        file.write_at(&pieces, at)?;
        at += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
    }
    Ok(())
}

/// Where a crash forgot the reserve's name, or it never got it, its file still has that of the manifest that it was. The one in
/// use, just before `number`, stays.
fn take_back_reserve(disk: &dyn Disk, number: u64) -> io::Result<()> {
    let mut numbers = disk.list("")?.into_iter().filter_map(|(name, _)| number_of(&name));
    if !numbers.any(|old| old.saturating_add(1) < number) {
        return Ok(());
    }
    // First the name of the one in use: after one more crash it must not be the older one that is found.
    disk.sync_dir("")?;
    let_older_go(disk, number - 1).map(drop)
}

/// Makes the newest manifest before `number` the reserve, unless there is one as long, and removes the others. Returns the reserve's
/// length.
fn let_older_go(disk: &dyn Disk, number: u64) -> io::Result<u64> {
    let (mut older, mut reserve) = (Vec::new(), 0);
    for (name, len) in disk.list("")? {
        match number_of(&name) {
            Some(old) if old < number => older.push((old, len)),
            _ if name == RESERVE => reserve = len,
            _ => {}
        }
    }
    older.sort_unstable_by(|a, b| b.cmp(a));
    for (old, len) in older {
        if len > reserve {
            disk.rename(&manifest_name(old), RESERVE)?;
            reserve = len;
        } else {
            disk.remove(&manifest_name(old))?;
        }
    }
    Ok(reserve)
}

/// The length of a manifest's file whose state ends at `end`.
fn wanted_len(end: u64, bytes: u64) -> u64 {
    bytes.max(ROOM_TIMES.saturating_mul(end))
}

/// Writes the note of a state, twice, and filler after it, into a file that is not used yet: the reserve if it is long
/// enough and not much longer, else a new file, else, where the disk is full, what of both can hold the state, or at the least
/// once.
fn write_state(disk: &dyn Disk, number: u64, note: &[u8], bytes: u64) -> io::Result<Unnamed> {
    let end = 2 * note.len() as u64;
    let wanted = wanted_len(end, bytes);
    let mut reserve = match disk.open(RESERVE).and_then(|file| Ok((file.len()?, file))) {
        Ok(reserve) => Some(reserve),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(%error, "the manifest's reserve cannot be read; a new file is made in its place");
            None
        }
    };
    let write = |file: &dyn DiskFile, times: usize, len: u64| {
        let end = (times * note.len()) as u64;
        file.write_at(&vec![IoSlice::new(note); times], 0)?;
        // What stood here before may look like a note.
        fill(file, end, len.saturating_sub(end))?;
        Ok::<u64, io::Error>(end)
    };
    let in_reserve = |times: usize, (len, file): &(u64, Arc<dyn DiskFile>)| {
        let end = write(&**file, times, *len)?;
        sync_reserve(disk, &**file)?;
        let (from, file) = (RESERVE.to_owned(), Arc::clone(file));
        Ok(Unnamed { from, file, end, len: *len, stands_once: times == 1 })
    };
    // A manifest that grew long would pass its length on for ever.
    let fits = wanted..=LONG_TIMES.saturating_mul(wanted);
    let long_enough = reserve.take_if(|(len, _)| fits.contains(len));
    if let Some(made) = long_enough.map(|reserve| in_reserve(2, &reserve)) {
        match made {
            // It is not used again: after a failed sync nothing that it holds can be trusted.
            Err(error) => {
                tracing::warn!(%error, "the manifest's reserve cannot be written; a new file is made in its place");
            }
            made => return made,
        }
    }
    let from = disk::temporary_name(&manifest_name(number));
    let in_new = |len: u64| {
        let file = disk.create(&from)?;
        let end = write(&*file, 2, len)?;
        file.sync()?;
        Ok(Unnamed { from: from.clone(), file, end, len, stands_once: false })
    };
    let is_full = |made: &io::Result<Unnamed>| made.as_ref().is_err_and(disk::is_no_space);
    let mut made = in_new(wanted);
    if is_full(&made) {
        disk.remove(&from)?;
        if let Some(reserve) = reserve.take_if(|(len, _)| *len >= end) {
            return in_reserve(2, &reserve);
        }
        made = in_new(end);
    }
    let once = note.len() as u64 + KEPT_FROM_SEALS;
    match reserve.take_if(|(len, _)| is_full(&made) && *len >= once) {
        Some(reserve) => {
            disk.remove(&from)?;
            in_reserve(1, &reserve)
        }
        None => made,
    }
}

/// After a sync an error is final, whatever it says: what was to be stored may be gone.
fn not_space(error: io::Error) -> io::Error {
    if disk::is_no_space(&error) { io::Error::other(error) } else { error }
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
