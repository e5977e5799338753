//! Gives each note to the part of the state that it belongs to.

use super::note::{FileNote, Note};
use super::state::{FileState, State};
use crate::log::ImportProgress;
use crate::log::notes::CallNote;

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
