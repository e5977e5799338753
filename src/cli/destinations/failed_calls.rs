//! Calls that a replay could not deliver: counted, and written into a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;

use crate::boxed_future::BoxFuture;
use crate::destinations::class::Class;
use crate::destinations::dead_letter::{Letter, Letters};
use crate::lock::lock;
use crate::log::AppendError;

/// Calls that could not be delivered.
#[derive(Debug)]
pub(super) struct FailedCalls {
    path: Option<PathBuf>,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    file: Option<File>,
    /// Positions of calls whose object is not settled.
    positions: BTreeSet<u64>,
    by_class: BTreeMap<Class, (u64, String)>,
}

impl FailedCalls {
    /// They are written into a file at `path`, if there is one. It is made with the first call.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, noted: Mutex::default() }
    }

    /// The positions of failed calls from `first` to `last`, in order. They are forgotten.
    pub(super) fn take(&self, first: u64, last: u64) -> Vec<u64> {
        let mut noted = lock(&self.noted);
        let taken: Vec<u64> = noted.positions.range(first..=last).copied().collect();
        noted.positions = noted.positions.split_off(&(last + 1));
        taken
    }

    /// How many failed, and the first text, by class.
    pub(super) fn by_class(&self) -> BTreeMap<Class, (u64, String)> {
        lock(&self.noted).by_class.clone()
    }

    /// The file, if a call was written.
    pub(super) fn written(&self) -> Option<PathBuf> {
        self.path.clone().filter(|_| lock(&self.noted).file.is_some())
    }

    fn note(&self, letter: &Letter<'_>, line: &[u8]) -> io::Result<()> {
        let mut noted = lock(&self.noted);
        if let Some(path) = &self.path {
            let file = match &mut noted.file {
                Some(file) => file,
                none => none.insert(File::create_new(path)?),
            };
            let line = [line, b"\n"].concat();
            file.write_all(&line)?;
        }
        noted.positions.insert(letter.position);
        let count = noted.by_class.entry(letter.failure.class).or_insert((0, letter.failure.what.clone()));
        count.0 += 1;
        Ok(())
    }
}

impl Letters for FailedCalls {
    fn store(
        &self,
        letter: &Letter<'_>,
    ) -> Result<BoxFuture<'static, Result<(), AppendError>>, serde_json::Error> {
        let stored = self.note(letter, &letter.line()?).map_err(|error| {
            let path = self.path.as_deref().unwrap_or(std::path::Path::new("")).display();
            tracing::error!(%error, "a call that failed cannot be written to {path}; it is tried again");
            AppendError::Full
        });
        Ok(Box::pin(async move { stored }))
    }
}
