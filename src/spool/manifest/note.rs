//! The notes of a manifest: those about calls, and those about the spool's files. Each changes the part of
//! the state that it belongs to.

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::key_run::KeyRun;
use super::state::{FileState, State};
use crate::log::notes::CallNote;
use crate::log::{Amend, ImportProgress, OpenImport, Parked, Range, Seal};

/// One note of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "only a few notes exist at a time")]
pub enum Note {
    /// The whole state: the first note of each manifest file.
    State(Box<State>),
    /// Several notes written at once. Either all of them count or none.
    Together(Vec<Note>),
    /// About files.
    #[serde(untagged)]
    Files(FileNote),
    /// About calls.
    #[serde(untagged)]
    Calls(CallNote),
}

/// One note about segments, parked objects and imported files.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileNote {
    /// A segment has been made.
    Segment {
        /// Its number.
        number: u64,
    },
    /// The object is parked.
    Parked {
        /// Its seal.
        number: u64,
        /// The file.
        parked: Parked,
        /// A copy of the seal. The segments may now be released, so if the seal's own note rots the file is
        /// the only copy of its calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Box<Seal>>,
        /// What the file holds, if it differs from what was sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amended: Option<Box<Amend>>,
    },
    /// An import has begun.
    ImportBegun(OpenImport),
    /// Imports whose progress is recorded elsewhere.
    ImportsEnded {
        /// Their numbers.
        files: Vec<u64>,
    },
    /// A segment is no longer needed.
    Released {
        /// Its number.
        number: u64,
        /// Its positions, if it had any.
        positions: Option<Range>,
    },
    /// Runs of keys of imported rows were written, or are no longer needed.
    KeyRuns {
        /// The new one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        added: Option<KeyRun>,
        /// Those that the new one replaces, or that are too old.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed: Vec<u64>,
        /// The keys of all frames up to this position are in runs.
        #[serde(default)]
        through: u64,
    },
    /// A segment's frames were copied to another, which replaces it.
    Replaced {
        /// The old one.
        old: u64,
        /// The new one.
        new: u64,
    },
}

impl From<FileNote> for Note {
    fn from(note: FileNote) -> Self {
        Self::Files(note)
    }
}

impl From<CallNote> for Note {
    fn from(note: CallNote) -> Self {
        Self::Calls(note)
    }
}

/// Written by hand, because serde's own way for `untagged` copies a note, and cannot read numbers as keys.
impl<'de> serde::Deserialize<'de> for Note {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Whole<'a> {
            State(Box<State>),
            // Each of them is about files or about calls: nothing nests deeper.
            #[serde(borrow)]
            Together(Vec<&'a RawValue>),
        }
        // A type that has no note of this name fails at the name.
        let one = |json| {
            let note = serde_json::from_str(json).map(Self::Files);
            note.or_else(|_| serde_json::from_str(json).map(Self::Calls))
        };
        let whole = |whole| match whole {
            Whole::State(state) => Ok(Self::State(state)),
            Whole::Together(notes) => {
                notes.into_iter().map(|note| one(note.get())).collect::<Result<_, _>>().map(Self::Together)
            }
        };
        let json = <&RawValue>::deserialize(deserializer)?.get();
        one(json).or_else(|_| serde_json::from_str(json).and_then(whole)).map_err(D::Error::custom)
    }
}

impl Note {
    /// Several notes as one; `None` if there are none.
    pub(crate) fn together(mut notes: Vec<Self>) -> Option<Self> {
        match notes.len() {
            0 | 1 => notes.pop(),
            _ => Some(Self::Together(notes)),
        }
    }
}

impl State {
    /// Applies one note.
    pub fn apply(&mut self, note: impl Into<Note>) {
        match note.into() {
            Note::State(state) => *self = *state,
            Note::Together(notes) => notes.into_iter().for_each(|note| self.apply(note)),
            Note::Files(note) => self.apply_to_files(note),
            Note::Calls(note) => {
                if let CallNote::Tallied(tally) = &note {
                    self.files.advance_imports(&tally.imports);
                }
                self.calls.apply(note);
            }
        }
    }

    fn apply_to_files(&mut self, note: FileNote) {
        let Self { calls, files } = self;
        match note {
            FileNote::Segment { number } => files.add_segment(number),
            FileNote::Parked { number, parked, seal, amended } => {
                calls.kept_apart(number, parked, seal, amended);
            }
            FileNote::ImportBegun(import) => {
                files.next_import = files.next_import.max(import.file.saturating_add(1));
                files.imports.insert(import.file, import);
            }
            FileNote::ImportsEnded { files: ended } => {
                files.imports.retain(|file, _| !ended.contains(file));
            }
            FileNote::Released { number, positions } => {
                files.segments.remove(&number);
                files.next_segment = files.next_segment.max(number.saturating_add(1));
                positions.iter().for_each(|range| calls.assigned_through(range.last));
                files.released.extend(positions);
            }
            FileNote::KeyRuns { added, removed, through } => {
                files.key_runs.retain(|number, _| !removed.contains(number));
                if let Some(run) = added {
                    files.next_key_run = files.next_key_run.max(run.number.saturating_add(1));
                    files.key_runs.insert(run.number, run);
                }
                files.keys_through = files.keys_through.max(through);
            }
            FileNote::Replaced { old, new } => {
                files.segments.remove(&old);
                files.add_segment(new);
            }
        }
    }
}

impl FileState {
    fn add_segment(&mut self, number: u64) {
        self.next_segment = self.next_segment.max(number.saturating_add(1));
        self.segments.insert(number);
    }

    fn advance_imports(&mut self, advanced: &[(u64, ImportProgress)]) {
        for (file, progress) in advanced {
            if let Some(import) = self.imports.get_mut(file) {
                import.progress.advance(*progress);
            }
        }
    }
}
