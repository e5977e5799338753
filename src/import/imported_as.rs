//! Continues the import of a file that changed before the import reached the end: the next import begins
//! after the rows that are stored, if the file still begins with them.
//!
//! While a file is read, each step says what the file begins with up to the step's end: a [`Prefix`]. The
//! journal keeps the last prefix, and which import a place had last. A later version of the file is another
//! file, unless it begins with that prefix: then it continues the import, with the row numbers, messageIds
//! and rejects file of the first version. The journal remembers for good that both versions are one import.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::file_error::{FileError, FileFault};
use super::file_id::FileId;
use super::own_thread::on_own_thread;
use super::prefix::Prefix;
use super::rows::RowReader;
use super::run::{FileEnd, OpenRows, Waits};
use super::target::{Begin, Earlier, Target, TargetError, Version};
use crate::words::counted;

/// Rows that are compared between two checks whether anybody still waits for the answer.
const COMPARED_ROWS: u64 = 10_000;

/// The file as which a file is imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedAs {
    /// The file whose import is continued; `None`: the file is one of its own.
    pub file: Option<FileId>,
    /// The version of the file, for the target.
    pub version: Option<Version>,
    /// The note for a person, if rows of an earlier version are stored.
    pub note: Option<String>,
}

/// Finds as what a file is imported, and retries while that may succeed later. `open` opens the file.
/// Errors: [`FileEnd`]: the import of the file cannot begin.
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
        if waits.wait(after, why.masked(), stop).await.is_none() {
            return Err(FileEnd::Stopped);
        }
    }
}

/// Decides as what a file is imported. `begins`: whether the file begins with the prefix, if that is known.
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
    let compared = on_own_thread(move || {
        let mut reader = open()?;
        compare(&mut *reader, prefix, &|| stopped.is_cancelled())
    });
    match compared.await {
        Ok(Ok(Some(begins))) => Ok(begins),
        Ok(Ok(None)) => Err(FileEnd::Stopped),
        // The file fails in the same way as a file of its own, and that failure is recorded.
        Ok(Err(error)) if error.fault == FileFault::Content => Ok(false),
        Ok(Err(error)) => Err(FileEnd::Failed(error)),
        Err(error) => Err(FileEnd::Failed(error)),
    }
}

/// Whether the rows of a reader begin with these. `None` if nobody waits for the answer, as `is_left` says.
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
