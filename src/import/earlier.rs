//! Files that changed before their import reached the end: the next import goes on after the rows that are stored, if
//! the file still begins with them.
//!
//! While a file is read, each step says what the file begins with up to the step's end: a [`Prefix`]. The journal keeps
//! the last one, and which import the file's place had last. A later version of the file is another file, unless it
//! begins with that prefix: then it continues the import, with the row numbers, messageIds and rejects file of the first
//! version. The journal remembers for good that both versions are one import.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::file_id::{FileId, first_128_bits};
use super::importer::{key_of, unwritten};
use super::journal::{Journal, JournalError};
use super::record::{ImportRecord, State};
use super::rows::{FileError, FileFault, RowReader};
use super::run::{FileEnd, OpenRows, Waits};
use super::target::{Begin, Target, TargetError};
use crate::log::{ImportKey, ImportProgress, TextBefore};
use crate::sources::SourceId;
use crate::words::counted;

/// Rows that are compared before it is asked whether anybody still waits for the rest.
const COMPARED_ROWS: u64 = 10_000;

/// What a file begins with: the text of its first rows, and of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Prefix {
    /// The number of rows.
    pub rows: u64,
    /// The length of the decoded text, in bytes.
    pub bytes: u64,
    /// The id of that text.
    pub text: FileId,
}

/// The length and the id of a text that ends with a row, as they stand in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixText {
    /// See [`Prefix::bytes`].
    pub bytes: u64,
    /// See [`Prefix::text`].
    pub text: FileId,
}

impl Prefix {
    /// What the log keeps beside its number of rows.
    pub(super) fn text_before(&self) -> TextBefore {
        TextBefore { bytes: self.bytes, id: self.text.bytes() }
    }

    /// That of all rows that are stored, if the log has it.
    pub(super) fn of_progress(progress: ImportProgress) -> Option<Self> {
        let TextBefore { bytes, id } = progress.text?;
        Some(Self { rows: progress.next_row, bytes, text: FileId::of_bytes(id) })
    }

    /// Without its number of rows.
    pub fn in_query(&self) -> PrefixText {
        PrefixText { bytes: self.bytes, text: self.text }
    }
}

impl PrefixText {
    /// With its number of rows.
    pub fn of_rows(self, rows: u64) -> Prefix {
        Prefix { rows, bytes: self.bytes, text: self.text }
    }
}

impl fmt::Display for PrefixText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.bytes, self.text)
    }
}

/// A text is not that of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is its length in bytes, a hyphen and the id of its text")]
pub struct NoPrefix;

impl FromStr for PrefixText {
    type Err = NoPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bytes, text) = text.split_once('-').ok_or(NoPrefix)?;
        let bytes = bytes.parse().map_err(|_| NoPrefix)?;
        Ok(Self { bytes, text: text.parse().map_err(|_| NoPrefix)? })
    }
}

/// A later version of a file, which continues the import of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Version {
    /// The version.
    pub file: FileId,
    /// What it begins with, as was verified now; `None`: the target knows the version.
    pub prefix: Option<Prefix>,
}

/// What was imported of an earlier version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "earlier", rename_all = "snake_case")]
pub enum Earlier {
    /// This version was found to continue the import of another one.
    Known {
        /// The first version.
        file: FileId,
    },
    /// The import of another version did not reach the end.
    Unfinished {
        /// The first version.
        file: FileId,
        /// How many rows were imported.
        rows: u64,
        /// What they are; `None` if that is not known.
        prefix: Option<Prefix>,
        /// Whether they were imported with other options.
        other_options: bool,
    },
}

/// As what a file is imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedAs {
    /// The file whose import it continues; `None`: it is a file of its own.
    pub file: Option<FileId>,
    /// To be told to the target.
    pub version: Option<Version>,
    /// For a person, if rows of an earlier version are stored.
    pub note: Option<String>,
}

/// Finds out as what a file is imported, and tries again as long as that may succeed later. `open` opens the file.
///
/// # Errors
/// How the import of the file ended, because it cannot begin.
pub async fn imported_as(
    begin: &Begin,
    open: &OpenRows,
    target: &dyn Target,
    stop: &CancellationToken,
) -> Result<ImportedAs, FileEnd> {
    let mut waits = Waits::default();
    loop {
        let (after, why) = match target.earlier(begin.clone()).await {
            Ok(None) => return Ok(ImportedAs::default()),
            Ok(Some(Earlier::Known { file })) => {
                let version = Some(Version { file: begin.file, prefix: None });
                return Ok(ImportedAs { file: Some(file), version, note: None });
            }
            Ok(Some(Earlier::Unfinished { file, rows, prefix, other_options })) => {
                let begins = match prefix {
                    None => Ok(None),
                    Some(prefix) => begins_with(open, prefix, stop).await.map(Some),
                };
                match begins {
                    Ok(begins) => {
                        let version = Some(Version { file: begin.file, prefix });
                        return Ok(decided((file, rows), version, begins, other_options));
                    }
                    Err(FileEnd::Failed(error)) if error.fault == FileFault::Transient => {
                        (Duration::ZERO, error.message)
                    }
                    Err(end) => return Err(end),
                }
            }
            Err(TargetError::Later { after, why }) => (after, why),
            Err(error) => return Err(FileEnd::Refused(error)),
        };
        let wait = waits.next(after, why.masked());
        if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Err(FileEnd::Stopped);
        }
    }
}

/// `begins`: whether the file begins with the prefix, if that is known.
fn decided(
    (file, rows): (FileId, u64),
    version: Option<Version>,
    begins: Option<bool>,
    other_options: bool,
) -> ImportedAs {
    let rows = counted(rows, "row", "rows");
    let why = match begins {
        Some(true) => {
            let note = format!(
                "{rows} of an earlier version were imported, and it still begins with them: they are not stored again"
            );
            return ImportedAs { file: Some(file), version, note: Some(note) };
        }
        Some(false) => "it does not begin with them",
        None if other_options => "that was with other options",
        None => "whether it still begins with them is not known",
    };
    let note = format!("{rows} of an earlier version were imported, but {why}: all of its rows are imported");
    ImportedAs { note: Some(note), ..ImportedAs::default() }
}

/// Whether a file begins with these rows.
async fn begins_with(open: &OpenRows, prefix: Prefix, stop: &CancellationToken) -> Result<bool, FileEnd> {
    let (open, stopped) = (Arc::clone(open), stop.clone());
    let compared = tokio::task::spawn_blocking(move || {
        let mut reader = open()?;
        compare(&mut *reader, prefix, &|| stopped.is_cancelled())
    });
    match compared.await {
        Ok(Ok(Some(begins))) => Ok(begins),
        Ok(Ok(None)) => Err(FileEnd::Stopped),
        // As a file of its own it fails in the same way, and that is recorded.
        Ok(Err(error)) if error.fault == FileFault::Content => Ok(false),
        Ok(Err(error)) => Err(FileEnd::Failed(error)),
        Err(panicked) => {
            let what = format!("reading the file failed: {panicked}; this is a bug in Forebay");
            Err(FileEnd::Failed(FileError::content("E-BUG", what)))
        }
    }
}

/// Whether what a reader reads begins with these rows. `None` if nobody waits for the answer, as `is_left` says.
fn compare(
    reader: &mut dyn RowReader,
    prefix: Prefix,
    is_left: &dyn Fn() -> bool,
) -> Result<Option<bool>, FileError> {
    let mut left = prefix.rows;
    while left > 0 {
        if is_left() {
            return Ok(None);
        }
        let more = left.min(COMPARED_ROWS);
        if reader.pass_over(more)? < more {
            return Ok(Some(false));
        }
        left -= more;
    }
    Ok(Some(reader.prefix() == Some(prefix)))
}

/// What the journal knows of earlier versions of a file that has no record. `with_log` adds to a record what is known of
/// an open import. Waits for the disk.
pub(super) fn earlier(
    journal: &dyn Journal,
    begin: &Begin,
    source: &SourceId,
    with_log: &dyn Fn(&mut ImportRecord),
) -> Result<Option<Earlier>, JournalError> {
    let key = key_of(begin.file, source);
    let place = match begin.place {
        Some(place) if !begin.force && journal.read(key)?.is_none() => place_key(place, source),
        _ => return Ok(None),
    };
    let read = |key: u128| journal.linked(key)?.map(|key| journal.read(key)).transpose().map(Option::flatten);
    if let Some(file) = read(key.0)?.and_then(|record| record.file) {
        return Ok(Some(Earlier::Known { file }));
    }
    let Some(mut record) = read(place)? else { return Ok(None) };
    with_log(&mut record);
    Ok(unfinished(&record, begin))
}

/// What a later version of its file has to know of an import.
fn unfinished(record: &ImportRecord, begin: &Begin) -> Option<Earlier> {
    let rows = record.progress.next_row;
    if record.state == State::Done || rows == 0 {
        return None;
    }
    let other_options = !begin.options.is(&record.options);
    let prefix = if other_options { None } else { stored_prefix(record, begin) };
    record.file.map(|file| Earlier::Unfinished { file, rows, prefix, other_options })
}

/// The prefix of an unfinished import, if it is that of all rows that are stored, and of no others.
fn stored_prefix(record: &ImportRecord, begin: &Begin) -> Option<Prefix> {
    let is_counted = !begin.by_content || record.counted == record.progress.next_row;
    let is_open = record.state != State::Done;
    record.prefix.filter(|prefix| is_open && is_counted && prefix.rows == record.progress.next_row)
}

/// What is to be linked with an import that begins: its place, and the version of the file that continues it. Failures
/// of the earlier version are forgotten. Waits for the disk.
///
/// # Errors
/// [`TargetError`]: the version does not continue what `known` says.
pub(super) fn links(
    journal: &dyn Journal,
    known: Option<&mut ImportRecord>,
    begin: &Begin,
    (key, source): (ImportKey, &SourceId),
) -> Result<Vec<u128>, TargetError> {
    let mut links: Vec<u128> = begin.place.map(|place| place_key(place, source)).into_iter().collect();
    let Some(version) = &begin.version else { return Ok(links) };
    let version_key = key_of(version.file, source);
    if journal.linked(version_key.0).map_err(unwritten)? != Some(key) {
        let continues =
            known.filter(|record| version.prefix.is_some() && stored_prefix(record, begin) == version.prefix);
        let Some(record) = continues else {
            let why = "another command imports an earlier version of this file: run this one again after it";
            return Err(TargetError::Refused(why.into()));
        };
        record.forget_failures();
        record.version = Some(version.file);
    }
    links.push(version_key.0);
    Ok(links)
}

/// Names a place and a source in the journal.
fn place_key(place: FileId, source: &SourceId) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"forebay place 1\0").update(&place.bytes()).update(source.as_str().as_bytes());
    u128::from_be_bytes(first_128_bits(&hasher))
}
