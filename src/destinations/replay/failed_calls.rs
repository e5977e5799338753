//! Calls that a replay could not deliver: counted, and written into a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::destinations::class::Class;
use crate::destinations::dead_letter::{Letter, Letters, Storing};
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

    /// The positions of failed calls up to `last`. They are forgotten.
    pub(super) fn take(&self, last: u64) -> BTreeSet<u64> {
        let mut noted = lock(&self.noted);
        let later = noted.positions.split_off(&(last + 1));
        std::mem::replace(&mut noted.positions, later)
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
                none => none.insert(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?),
            };
            let line = [line, b"\n"].concat();
            file.write_all(&line)?;
        }
        noted.positions.insert(letter.position);
        let count =
            noted.by_class.entry(letter.failure.class).or_insert((0, letter.failure.what.full().to_owned()));
        count.0 += 1;
        Ok(())
    }
}

impl Letters for FailedCalls {
    fn store(&self, letter: &Letter<'_>) -> Storing {
        let stored = self.note(letter, &letter.line()?).map_err(|error| {
            let path = self.path.as_deref().unwrap_or(std::path::Path::new("")).display();
            tracing::error!(%error, "a call that failed cannot be written to {path}; it is tried again");
            AppendError::Full
        });
        Ok(Box::pin(async move { stored }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::outcome::Failure;
    use crate::destinations::positions::LaneId;
    use crate::sources::SourceId;

    fn fails(calls: &FailedCalls, position: u64) {
        let failure = Failure { class: Class::Timeout, what: "late".into(), retry_after: None };
        let lane = LaneId { destination: SourceId::new("crm").unwrap(), function: "f".to_owned() };
        let source = SourceId::new("web").unwrap();
        let letter = Letter {
            lane: &lane,
            failure: &failure,
            attempts: 1,
            position,
            source: &source,
            call: br#"{"messageId":"m"}"#,
        };
        drop(calls.store(&letter).unwrap());
    }

    #[test]
    fn each_object_gets_the_positions_of_its_own_calls() {
        let calls = FailedCalls::new(None);
        [2, 5, 7].into_iter().for_each(|position| fails(&calls, position));
        assert_eq!(calls.take(1), BTreeSet::new(), "no call of the object was given");
        assert_eq!(calls.take(5), BTreeSet::from([2, 5]));
        assert_eq!(calls.take(7), BTreeSet::from([7]));
        assert_eq!(calls.by_class(), BTreeMap::from([(Class::Timeout, (3, "late".to_owned()))]));
        assert_eq!(calls.written(), None);
    }

    #[test]
    fn failed_calls_are_in_a_file_that_no_other_is_replaced_by() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failed.ndjson");
        let calls = FailedCalls::new(Some(path.clone()));
        assert!(calls.written().is_none() && !path.exists(), "it is made with the first call");
        fails(&calls, 1);
        fails(&calls, 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        let second = FailedCalls::new(Some(path.clone()));
        fails(&second, 1);
        assert!(second.written().is_none() && second.by_class().is_empty(), "it is tried again");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
