//! The running progress of imports, in memory. What is durable of it stands in the manifest's state and in
//! the frames after the last tally.

use std::collections::BTreeMap;

use crate::log::frame::{Frame, FrameKind, Origin};
use crate::log::{ImportKey, ImportProgress, OpenImport};

/// One import.
#[derive(Clone, Copy, Debug)]
struct Running {
    key: ImportKey,
    progress: ImportProgress,
    /// Whether `progress` is in no tally yet.
    is_new: bool,
}

/// The imports that the spool knows, by number.
#[derive(Clone, Debug, Default)]
pub(in crate::spool) struct RunningImports {
    by_file: BTreeMap<u64, Running>,
}

impl RunningImports {
    /// The imports of the manifest's state.
    pub(in crate::spool) fn of<'a>(noted: impl Iterator<Item = &'a OpenImport>) -> Self {
        let mut imports = Self::default();
        noted.for_each(|import| imports.begin(*import));
        imports
    }

    /// Adds an import that was noted. If it is known, nothing changes.
    pub(in crate::spool) fn begin(&mut self, import: OpenImport) {
        let running = Running { key: import.key, progress: import.progress, is_new: false };
        self.by_file.entry(import.file).or_insert(running);
    }

    /// Removes an import.
    pub(in crate::spool) fn end(&mut self, file: u64) {
        self.by_file.remove(&file);
    }

    /// The progress of a file; `None` if it is not being imported.
    pub(in crate::spool) fn progress(&self, file: u64) -> Option<ImportProgress> {
        self.by_file.get(&file).map(|running| running.progress)
    }

    /// The import of a file and source.
    pub(in crate::spool) fn find(&self, key: ImportKey) -> Option<OpenImport> {
        self.all().find(|import| import.key == key)
    }

    /// All imports, by number.
    pub(in crate::spool) fn all(&self) -> impl Iterator<Item = OpenImport> + '_ {
        self.by_file.iter().map(|(file, running)| OpenImport {
            file: *file,
            key: running.key,
            progress: running.progress,
        })
    }

    /// Takes over durable progress.
    pub(in crate::spool) fn advance(&mut self, file: u64, progress: ImportProgress) {
        if let Some(running) = self.by_file.get_mut(&file) {
            running.progress.advance(progress);
            running.is_new = true;
        }
    }

    /// Takes over what a start found in the frames.
    pub(in crate::spool) fn take_found(&mut self, found: &FoundProgress) {
        for (file, progress) in &found.by_file {
            self.advance(*file, *progress);
        }
        for (file, next_row) in &found.covered {
            let progress = self.progress(*file).filter(|progress| progress.next_row < *next_row);
            if let Some(progress) = progress {
                self.advance(*file, ImportProgress { next_row: *next_row, text: None, ..progress });
            }
        }
    }

    /// The progress since the last call, for the next tally.
    pub(in crate::spool) fn take_new(&mut self) -> Vec<(u64, ImportProgress)> {
        let new = |(file, running): (&u64, &mut Running)| {
            std::mem::take(&mut running.is_new).then_some((*file, running.progress))
        };
        self.by_file.iter_mut().filter_map(new).collect()
    }
}

/// The progress that a start finds in frames.
#[derive(Clone, Debug, Default)]
pub(in crate::spool) struct FoundProgress {
    by_file: BTreeMap<u64, ImportProgress>,
    /// The row after the last one whose call was found. A damaged progress frame must not let rows be stored
    /// twice.
    covered: BTreeMap<u64, u64>,
}

impl FoundProgress {
    /// Takes a sound frame.
    pub(in crate::spool) fn take(&mut self, frame: &Frame<'_>) {
        let Some(Origin { file, last_row, .. }) = frame.origin else { return };
        let covered = self.covered.entry(file).or_default();
        *covered = (*covered).max(last_row.saturating_add(1));
        if frame.kind == FrameKind::ImportProgress
            && let Some(progress) = ImportProgress::decode(frame.payload)
        {
            self.by_file.entry(file).or_default().advance(progress);
        }
    }
}
