//! The manifest: an append-only file of notes, each synced before it counts.
//!
//! ```text
//! manifest := note* filler
//! note     := len u32 | crc u32 | JSON
//! ```
//!
//! `crc` is CRC-32C over `len` and the JSON, salted with the spool id and the manifest's number. The first
//! note holds the whole state, so a manifest is complete by itself: a new one is written, synced and renamed
//! before the old one is removed.
//!
//! A manifest needs no free space. Its file is filled when it is begun, so notes overwrite bytes that the
//! file already has. The filler is 0xFF, so that notes that rotted to zeros do not look like unused space.
//! The file `reserve` becomes the next manifest, and the manifest that it replaces becomes the reserve.
//! Nothing else can take that space, so notes and a start work on a disk without a free byte (decision 0121).
//! A seal makes the state longer and needs further notes later. So on a full disk a seal is refused if it
//! would leave too little space for the next manifest or for the notes that free space.

pub(super) mod key_run;
pub(super) mod note;
pub(super) mod state;

pub use key_run::KeyRun;
pub use note::{FileNote, Note};
pub use state::{FileState, State};

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{self, Disk, DiskFile, if_there, read_all};
use crate::lock::lock;
use crate::log::frame::Salt;
use crate::log::notes::CallNote;
use crate::planted_bugs::{PlantedBug, planted};
use crate::spool::format::ByteRange;
use crate::spool::format::ident::Ident;

/// Length in bytes of a manifest's file, and of its reserve, unless its state needs more.
pub(crate) const MANIFEST_BYTES: u64 = 4 * 1_024 * 1_024;
/// The file that becomes the next manifest.
pub(in crate::spool) const RESERVE: &str = "reserve";
/// The byte that fills the unused part of a manifest.
const FILLER: u8 = 0xFF;
static FILLED: [u8; disk::FILL_BLOCK] = [FILLER; disk::FILL_BLOCK];
/// A file is at least this many times as long as the state at its beginning.
const ROOM_TIMES: u64 = 2;
/// A manifest is long if it is more than this many times as long as the state at its beginning.
const LONG_TIMES: u64 = 4;
/// A manifest is replaced once most of the objects that were pending at its beginning are delivered, but only
/// if it began with at least this many.
const MANY_SEALS: u64 = 16;
/// Bytes of the file that seals must leave unused for other notes. A single note is shorter than this.
const KEPT_FROM_SEALS: u64 = 4_096;
/// A file that must grow gets extra space: its minimum length divided by this.
const GROWTH_PART: u64 = 16;
/// Notes lengthen the state by at most this many times their own length: the first object of a day also adds
/// a cursor, a day and a row of the ledger.
const STATE_TIMES: u64 = 2;
/// Salts of manifests must differ from those of segments with the same number.
const SALT_SPACE: u64 = 1 << 63;

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk reported an error.
    #[error("read the manifest {0}")]
    Disk(String, #[source] io::Error),
    /// There is none, although the directory has data, such as this file.
    #[error(
        "the spool's manifest is missing, but its directory has data of an earlier start (such as {0}); which \
         calls were delivered is written nowhere else, so restore the newest MANIFEST file, or save the calls with \
         `forebay spool export SPOOL`, and those of parked objects with `zcat parked/*.gz`, and move that data out of the \
         directory"
    )]
    Missing(String),
    /// Neither copy of its first note can be read.
    #[error("the manifest {0} is damaged at its beginning; `forebay spool verify SPOOL` lists the damage")]
    Damaged(String),
    /// A note cannot be read, and sound notes follow it.
    #[error(
        "the manifest {0} is damaged at byte {1}, with notes after it; `forebay spool verify SPOOL` lists the \
         damage"
    )]
    DamagedWithin(String, u64),
    /// Notes at the end cannot be read, but the changes that they recorded had been made.
    #[error(
        "the manifest {0} is damaged from byte {1} on: it lost notes of changes that had been made; \
         `forebay spool verify SPOOL` lists the damage"
    )]
    DamagedEnd(String, u64),
}

/// Fails if there is data beside no manifest: the first one is written before anything else, so there was
/// one. Errors: [`ManifestError::Missing`], or the disk's error.
pub(crate) fn none_is_missing(disk: &dyn Disk) -> Result<(), ManifestError> {
    let found = Ident::data_in(disk).map_err(|cause| ManifestError::Disk(manifest_name(0), cause))?;
    found.map_or(Ok(()), |found| Err(ManifestError::Missing(found)))
}

/// The open manifest.
#[derive(Debug)]
pub struct Manifest {
    disk: Arc<dyn Disk>,
    spool_id: [u8; 16],
    number: u64,
    file: Arc<dyn DiskFile>,
    end: u64,
    /// The end of the state at its beginning.
    first_note: u64,
    /// Whether that state is stored only once, because there was no space for two copies.
    state_stored_once: bool,
    /// The number of pending objects in that state.
    first_seals: u64,
    /// The file's length. Notes up to here need no free space.
    file_len: u64,
    /// The length that its state needs, and that of the reserve. It is less than `file_len` only if a full
    /// disk left no other file than one that is much too long.
    len: u64,
    /// The reserve's length; 0 if there is none.
    reserve: u64,
    /// Minimum length of the file and the reserve.
    bytes: u64,
    /// Has its own lock, so that readers do not wait for a sync of the manifest.
    state: Arc<Mutex<State>>,
}

/// The file name of a manifest.
pub fn manifest_name(number: u64) -> String {
    format!("MANIFEST-{number:020}")
}

/// The number of the manifest whose file has this name.
fn number_of(name: &str) -> Option<u64> {
    crate::spool::format::segment::number_in(name, "MANIFEST-", "")
}

/// The salt of a manifest's checksums.
pub fn salt(spool_id: &[u8; 16], number: u64) -> Salt {
    Salt::new(spool_id, SALT_SPACE | number)
}

/// Encodes a note as it is stored in a manifest.
/// Errors: the note cannot be written as JSON, or its length does not fit into 32 bits.
pub fn encode(note: &Note, salt: Salt) -> io::Result<Vec<u8>> {
    encode_json(note, salt)
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

/// Encodes a state as [`encode`] encodes `Note::State`, but without moving or copying it: with ten thousand
/// sources a copy takes tens of megabytes.
fn encode_state(state: &State, salt: Salt) -> io::Result<Vec<u8>> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Note<'a> {
        State(&'a State),
    }
    encode_json(&Note::State(state), salt)
}

/// The note at the beginning of `bytes`, and its length.
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

/// Replays the notes in a manifest's bytes. Returns the state that they add up to, and the number of notes.
/// Errors: [`ManifestError`] if a note other than a torn last one is damaged.
pub fn replay(
    name: &str,
    bytes: &[u8],
    spool_id: &[u8; 16],
    number: u64,
) -> Result<(State, usize), ManifestError> {
    let replayed = replay_past_damage(name, bytes, spool_id, number)?;
    match replayed.damaged.first() {
        Some(damaged) => Err(ManifestError::DamagedWithin(name.to_owned(), damaged.from)),
        None => Ok((replayed.state, replayed.notes)),
    }
}

/// The bytes of a manifest without the filler at its end. A note ends with `}`, so no note is cut.
pub fn written(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != FILLER).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or(bytes)
}

/// What can be read of a manifest.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// The state that the notes add up to.
    pub state: State,
    /// The number of notes; the two copies of the first note count as one.
    pub notes: usize,
    /// Its length in bytes, without the filler.
    pub bytes: u64,
    /// The copy of the first note that cannot be read. Nothing is lost: the other copy is used.
    pub one_of_two: Option<ByteRange>,
    /// What cannot be read although it was once synced: sound notes follow, or it is the beginning.
    pub damaged: Vec<ByteRange>,
    /// The bytes after the last sound note. They are a torn note that never had an effect, or notes that
    /// rotted. The manifest alone does not show which.
    pub torn: Option<ByteRange>,
}

/// Reads the beginning of a manifest's bytes: the initial state, stored twice so that one damaged copy is not
/// fatal. Older releases stored it once. Returns also where the notes after it begin.
fn beginning(bytes: &[u8], salt: Salt) -> Option<(Replayed, usize)> {
    let state_at = |at: usize| match decode(bytes.get(at..)?, salt)? {
        (Note::State(state), len) => Some((*state, len)),
        _ => None,
    };
    let begun = |state: State, damaged: Option<(usize, usize)>| {
        let one_of_two = damaged.map(|(from, to)| ByteRange { from: from as u64, to: to as u64 });
        Replayed { state, notes: 1, one_of_two, ..Replayed::default() }
    };
    if let Some((state, len)) = state_at(0) {
        let again = bytes.get(len..2 * len);
        if again == bytes.get(..len) {
            return Some((begun(state, None), 2 * len));
        }
        let follows = bytes.len() == 2 * len || decode(bytes.get(2 * len..).unwrap_or(&[]), salt).is_some();
        // The state is also stored once if a full disk had no space for two copies.
        let once = decode(bytes.get(len..).unwrap_or(&[]), salt)
            .is_some_and(|(note, _)| !matches!(note, Note::State(_)));
        return Some(match follows && !once {
            true => (begun(state, Some((len, 2 * len))), 2 * len),
            false => (begun(state, None), len),
        });
    }
    // Both copies are equally long, so the second one begins at an offset equal to its own length.
    let is_second = |at: &usize| {
        let len =
            bytes.get(*at..*at + 4).and_then(|len| <[u8; 4]>::try_from(len).ok()).map(u32::from_le_bytes);
        len.is_some_and(|len| len as usize + 8 == *at)
    };
    (8..bytes.len()).filter(is_second).find_map(|at| {
        let (state, len) = state_at(at)?;
        Some((begun(state, Some((0, at))), at + len))
    })
}

/// Replays what can be read of a manifest's bytes.
/// Errors: [`ManifestError::Damaged`] if neither copy of the first note can be read: too little is then known
/// to continue.
pub fn replay_past_damage(
    name: &str,
    bytes: &[u8],
    spool_id: &[u8; 16],
    number: u64,
) -> Result<Replayed, ManifestError> {
    let (salt, bytes) = (salt(spool_id, number), written(bytes));
    let begun = beginning(bytes, salt).ok_or_else(|| ManifestError::Damaged(name.to_owned()))?;
    Ok(replay_on(bytes, salt, begun))
}

/// Replays every note that can be read, even if the beginning cannot.
pub(crate) fn replay_any(bytes: &[u8], salt: Salt) -> Replayed {
    let bytes = written(bytes);
    replay_on(bytes, salt, beginning(bytes, salt).unwrap_or_default())
}

/// Replays the notes from `at` on.
fn replay_on(bytes: &[u8], salt: Salt, (mut replayed, mut at): (Replayed, usize)) -> Replayed {
    let note_at = |at: usize| decode(bytes.get(at..).unwrap_or(&[]), salt);
    replayed.bytes = bytes.len() as u64;
    // The first note is written before a manifest gets its name.
    if bytes.is_empty() {
        replayed.damaged.push(ByteRange { from: 0, to: 0 });
    }
    while at < bytes.len() {
        if let Some((note, len)) = note_at(at) {
            replayed.state.apply(note);
            replayed.notes += 1;
            at += len;
            continue;
        }
        // A sound note after a bad one proves that the bad one was once synced.
        let next = (at + 1..bytes.len()).find(|at| note_at(*at).is_some());
        let end = next.unwrap_or(bytes.len());
        let range = ByteRange { from: at as u64, to: end as u64 };
        match next.is_some() || at == 0 {
            true => replayed.damaged.push(range),
            false => replayed.torn = Some(range),
        }
        at = end;
    }
    replayed
}

/// Reads the newest manifest of a spool, if there is one, without changing anything. Returns its number and
/// state.
pub fn read_newest(disk: &dyn Disk, spool_id: &[u8; 16]) -> Result<Option<(u64, State)>, ManifestError> {
    let Some((number, name, bytes)) = newest(disk)? else { return Ok(None) };
    replay(&name, &bytes, spool_id, number).map(|(state, _)| Some((number, state)))
}

/// Like [`read_newest`], but skips notes that cannot be read.
/// Errors: [`ManifestError`], but never [`ManifestError::DamagedWithin`].
pub fn read_newest_past_damage(
    disk: &dyn Disk,
    spool_id: &[u8; 16],
) -> Result<Option<(u64, Replayed)>, ManifestError> {
    let Some((number, name, bytes)) = newest(disk)? else { return Ok(None) };
    replay_past_damage(&name, &bytes, spool_id, number).map(|replayed| Some((number, replayed)))
}

fn newest(disk: &dyn Disk) -> Result<Option<(u64, String, Vec<u8>)>, ManifestError> {
    let failed = |name: &str, cause| ManifestError::Disk(name.to_owned(), cause);
    let files = disk.list("").map_err(|cause| failed("directory", cause))?;
    let number = files.iter().filter_map(|(name, _)| number_of(name)).max();
    let Some(number) = number else { return Ok(None) };
    let name = manifest_name(number);
    let bytes = disk.open(&name).and_then(|file| read_all(&*file)).map_err(|cause| failed(&name, cause))?;
    Ok(Some((number, name, bytes)))
}

/// A manifest that is written and synced but not yet renamed to its final name.
struct Unnamed {
    /// Its present name.
    from: String,
    file: Arc<dyn DiskFile>,
    /// The end of its state.
    end: u64,
    /// The file's length.
    len: u64,
    /// Whether its state is stored only once.
    state_stored_once: bool,
}

impl Manifest {
    /// Begins a new manifest that holds `state`, and retires older ones. It and its reserve are at least
    /// `bytes` long.
    pub fn begin(
        disk: Arc<dyn Disk>,
        spool_id: [u8; 16],
        number: u64,
        state: State,
        bytes: u64,
    ) -> io::Result<Self> {
        recover_reserve(&*disk, number)?;
        let new = write_state(&*disk, number, &encode_state(&state, salt(&spool_id, number))?, bytes)?;
        Self::put_in_use(disk, spool_id, number, (new, bytes), Arc::new(Mutex::new(state)))
    }

    fn put_in_use(
        disk: Arc<dyn Disk>,
        spool_id: [u8; 16],
        number: u64,
        (new, bytes): (Unnamed, u64),
        state: Arc<Mutex<State>>,
    ) -> io::Result<Self> {
        let Unnamed { from, file, end, len, state_stored_once } = new;
        let name = manifest_name(number);
        disk.rename(&from, &name)?;
        if !planted(PlantedBug::NoDirectorySync) {
            // An error here is final: a restart may find the new manifest or the old one.
            disk.sync_dir("").map_err(io::Error::other)?;
        }
        // Opened again under its new name. If there is no free file handle, the present one works as well.
        let file = disk.open(&name).unwrap_or(file);
        let reserve = retire_older(&*disk, number).unwrap_or_else(|error| {
            tracing::warn!(%error, "older manifests cannot be removed; the next start removes them");
            0
        });
        let first_seals = lock(&state).calls.seals.len() as u64;
        // Otherwise the reserve would be as long, and two files that are much too long could hold the space
        // that a short one needs.
        let wanted = wanted_file_len(end, bytes);
        let file_len = len;
        let len = if is_too_long(file_len, wanted) { wanted } else { file_len };
        let mut manifest = Self {
            disk,
            spool_id,
            number,
            file,
            end,
            first_note: end,
            state_stored_once,
            first_seals,
            file_len,
            len,
            reserve,
            bytes,
            state,
        };
        if let Some(why) = manifest.extend_reserve() {
            tracing::warn!("{why}");
        }
        Ok(manifest)
    }

    /// The state of all notes on disk. While the guard is held, no further note can be applied.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The same state, for readers that do not hold the manifest.
    pub(crate) fn shared_state(&self) -> Arc<Mutex<State>> {
        Arc::clone(&self.state)
    }

    /// Appends notes, syncs them, and only then applies them to the state. Several notes share one checksum:
    /// a crash may tear a write anywhere, and a sound note after a torn one would look like damage. Calls
    /// `then` with the new state before any other thread sees it. `then` must not lock the state. Errors: the
    /// disk's error. If the disk has no space, no note was written, and a retry may succeed. After any other
    /// error the spool must stop, because it is unknown whether the notes are on disk.
    pub fn append<T>(
        &mut self,
        notes: Vec<impl Into<Note>>,
        then: impl FnOnce(&State) -> T,
    ) -> io::Result<T> {
        let notes = notes.into_iter().map(Into::into).collect();
        let Some(note) = Note::together(notes) else { return Ok(then(&self.state())) };
        let len = self.write(&note)?;
        let seals = matches!(note, Note::Calls(CallNote::Sealed(_)));
        if !(seals && planted(PlantedBug::SealNotSynced)) {
            self.file.sync().map_err(final_error)?;
        }
        self.end += len;
        self.len = self.len.max(self.end);
        self.file_len = self.file_len.max(self.end);
        let mut state = self.state();
        state.apply(note);
        Ok(then(&state))
    }

    /// Writes a note after the others and returns its length. Nothing is synced yet, so if the disk is full,
    /// the note can be written again to a new manifest, which takes the place of the reserve.
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
        if matches!(note, Note::Calls(CallNote::Sealed(_))) && self.len < self.len_for_seal(bytes.len()) {
            // Once the notes are longer than the state, a new manifest is better than a longer one.
            if self.end > self.bytes.max(2 * self.first_note) {
                self.compact()?;
                bytes = encode(note, salt(&self.spool_id, self.number))?;
            }
            self.grow(self.len_for_seal(bytes.len()))?;
        }
        self.file.write_at(&[IoSlice::new(&bytes)], self.end)?;
        Ok(bytes.len() as u64)
    }

    /// Extends the file to this length and a little more. The reserve is extended first, because the next
    /// state must fit into it.
    fn grow(&mut self, len: u64) -> io::Result<()> {
        if self.len >= len {
            return Ok(());
        }
        let len = len + self.bytes / GROWTH_PART;
        if let Some(why) = self.extend_reserve_to(len) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        disk::fill(&*self.file, &FILLED, self.len, len - self.len)?;
        self.len = len;
        self.file_len = self.file_len.max(len);
        Ok(())
    }

    /// The length that the file should have before it takes a seal's note of `len` bytes. It leaves space for
    /// one copy of the state that the next manifest would begin with, and for the notes that shorten that
    /// state.
    fn len_for_seal(&self, len: usize) -> u64 {
        let began_with = if self.state_stored_once { self.first_note } else { self.first_note / 2 };
        let end = self.end + len as u64;
        let next = began_with + STATE_TIMES * (end - self.first_note);
        KEPT_FROM_SEALS + end.max(next)
    }

    /// Whether the state at its beginning is stored only once, so that one bad sector could destroy it.
    pub(crate) fn state_stored_once(&self) -> bool {
        self.state_stored_once
    }

    /// Whether a new manifest should be begun: the notes are long (beyond `compact_bytes`), the file is much
    /// longer than its state needs, or the state itself has become small.
    pub(crate) fn is_long(&self, compact_bytes: u64) -> bool {
        let wanted = wanted_file_len(self.first_note, self.bytes);
        (self.end > compact_bytes && self.end > LONG_TIMES * self.first_note)
            || is_too_long(self.file_len, wanted)
            || (self.file_len > self.bytes && self.has_few_seals_left())
    }

    /// Whether most of many seals at the beginning of the file are delivered.
    fn has_few_seals_left(&self) -> bool {
        self.first_seals >= MANY_SEALS
            && LONG_TIMES * (self.state().calls.seals.len() as u64) < self.first_seals
    }

    /// Replaces this manifest with a new one. If there is no space or no file handle for it, this one stays
    /// in use.
    /// Errors: the disk's error. The spool must then stop, because it is unknown which manifest a restart
    /// would find.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        // Encoded here, so that the state is not locked while the disk writes.
        let note = encode_state(&self.state(), salt(&self.spool_id, number))?;
        let written = write_state(&*self.disk, number, &note, self.bytes);
        drop(note);
        let used = written.and_then(|new| {
            let (state, disk) = (Arc::clone(&self.state), Arc::clone(&self.disk));
            Self::put_in_use(disk, self.spool_id, number, (new, self.bytes), state)
        });
        match used {
            Ok(new) => {
                *self = new;
                Ok(())
            }
            // These errors mean that the new manifest was not renamed (on xfs a rename may need space). After
            // a rename, further notes in the old manifest would be lost.
            Err(error) if disk::is_no_space(&error) || disk::is_no_handle(&error) => {
                self.disk.remove(&disk::temporary_name(&manifest_name(number)))
            }
            Err(error) => Err(error),
        }
    }

    /// Extends the reserve to the length that the next manifest should have, as far as there is space.
    /// Returns the problem if it stays too short.
    pub(crate) fn extend_reserve(&mut self) -> Option<String> {
        self.extend_reserve_to(wanted_file_len(self.first_note, self.bytes).max(self.len))
    }

    fn extend_reserve_to(&mut self, wanted: u64) -> Option<String> {
        let too_long = is_too_long(self.reserve, wanted);
        if self.reserve >= wanted && !too_long {
            return None;
        }
        let grow = || {
            if too_long {
                self.disk.remove(RESERVE)?;
            }
            let file = match if_there(self.disk.open(RESERVE))? {
                Some(file) => file,
                None => {
                    let file = self.disk.create(RESERVE)?;
                    // In a crash, a file without a durable name would be lost, and its space with it.
                    self.disk.sync_dir("")?;
                    file
                }
            };
            let len = file.len()?;
            let filled = disk::fill(&*file, &FILLED, len, wanted.saturating_sub(len));
            sync_reserve(&*self.disk, &*file)?;
            // A reserve that is too short is kept: it is better than none.
            Ok((file.len()?, filled))
        };
        let outcome: io::Result<(u64, io::Result<()>)> = grow();
        match outcome {
            Ok((len, grown)) => {
                self.reserve = len;
                let too_short = |error| {
                    format!(
                        "the reserve of the spool's manifest is too short ({len} of {wanted} bytes); it is \
                         extended when there is space: {error}"
                    )
                };
                grown.err().map(too_short)
            }
            Err(error) => {
                self.reserve = 0;
                Some(format!(
                    "the spool's manifest has no reserve; it is created when there is space: {error}"
                ))
            }
        }
    }
}

/// Syncs the reserve. If that fails, removes it, to be made again later: after a failed sync the kernel may
/// treat unwritten pages as written.
fn sync_reserve(disk: &dyn Disk, file: &dyn DiskFile) -> io::Result<()> {
    file.sync().inspect_err(|_| {
        if let Err(error) = disk.remove(RESERVE) {
            tracing::warn!(%error, "the manifest's reserve could not be written and cannot be removed");
        }
    })
}

/// Turns a manifest older than the one in use into the reserve again. After a crash the reserve may still
/// have its old name as a manifest, because the rename was not durable or never happened. The manifest in
/// use, just before `number`, stays.
fn recover_reserve(disk: &dyn Disk, number: u64) -> io::Result<()> {
    let mut numbers = disk.list("")?.into_iter().filter_map(|(name, _)| number_of(&name));
    if !numbers.any(|old| old.saturating_add(1) < number) {
        return Ok(());
    }
    // Sync the name of the manifest in use first: after another crash, the older one must not be found as the
    // newest.
    disk.sync_dir("")?;
    retire_older(disk, number - 1).map(drop)
}

/// Turns the newest manifest before `number` into the reserve, unless the reserve is at least as long, and
/// removes the others. Returns the reserve's length.
fn retire_older(disk: &dyn Disk, number: u64) -> io::Result<u64> {
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
fn wanted_file_len(end: u64, bytes: u64) -> u64 {
    bytes.max(ROOM_TIMES.saturating_mul(end))
}

/// Whether a file of this length is much longer than it should be.
fn is_too_long(len: u64, wanted: u64) -> bool {
    len > LONG_TIMES.saturating_mul(wanted)
}

/// Writes the note of a state twice, and filler after it, into an unused file. This is the reserve if it is
/// long enough and not much too long, otherwise a new file. On a full disk it is whichever of the two can
/// hold the state twice, or at least once.
fn write_state(disk: &dyn Disk, number: u64, note: &[u8], bytes: u64) -> io::Result<Unnamed> {
    let end = 2 * note.len() as u64;
    let wanted = wanted_file_len(end, bytes);
    let found = if_there(disk.open(RESERVE).and_then(|file| Ok((file.len()?, file))));
    let mut reserve = found.unwrap_or_else(|error| {
        tracing::warn!(%error, "the manifest's reserve cannot be read; a new file is made in its place");
        None
    });
    let write = |file: &dyn DiskFile, times: usize, len: u64| {
        let end = (times * note.len()) as u64;
        file.write_at(&vec![IoSlice::new(note); times], 0)?;
        // Filler overwrites older bytes of this file, which may look like a note.
        disk::fill(file, &FILLED, end, len.saturating_sub(end))?;
        Ok::<u64, io::Error>(end)
    };
    let in_reserve = |times: usize, (len, file): &(u64, Arc<dyn DiskFile>)| {
        let end = write(&**file, times, *len)?;
        sync_reserve(disk, &**file)?;
        let (from, file) = (RESERVE.to_owned(), Arc::clone(file));
        Ok(Unnamed { from, file, end, len: *len, state_stored_once: times == 1 })
    };
    // Too long a reserve is not used: otherwise a manifest that once grew long would pass its length on
    // forever.
    let long_enough = reserve.take_if(|(len, _)| *len >= wanted && !is_too_long(*len, wanted));
    if let Some(made) = long_enough.map(|reserve| in_reserve(2, &reserve)) {
        match made {
            // The reserve is not used again: after a failed sync nothing in it can be trusted.
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the manifest's reserve cannot be written; a new file is made in its place"
                );
            }
            made => return made,
        }
    }
    let from = disk::temporary_name(&manifest_name(number));
    let in_new = |len: u64| {
        let file = disk.create(&from)?;
        let end = write(&*file, 2, len)?;
        file.sync()?;
        Ok(Unnamed { from: from.clone(), file, end, len, state_stored_once: false })
    };
    let is_full = |made: &io::Result<Unnamed>| made.as_ref().is_err_and(disk::is_no_space);
    let mut made = in_new(wanted);
    if is_full(&made) {
        disk.remove(&from)?;
        // A second copy must not take the space of the notes that free space.
        let twice = end + KEPT_FROM_SEALS;
        if let Some(reserve) = reserve.take_if(|(len, _)| *len >= twice) {
            return in_reserve(2, &reserve);
        }
        made = in_new(twice);
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

/// Makes an error of a sync final, even if it says "no space": the data that was to be synced may be lost.
fn final_error(error: io::Error) -> io::Error {
    if disk::is_no_space(&error) { io::Error::other(error) } else { error }
}

#[cfg(test)]
mod tests;
