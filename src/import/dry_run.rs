//! Reads and converts a file as an import does, and writes nothing.

use std::collections::BTreeMap;

use tokio::task::JoinError;

use super::csv::CsvRows;
use super::discovery::files::CsvFile;
use super::{FileError, Reject, Row, RowLimits, RowReader as _, TOO_MANY_REJECTED};
use crate::words::Told;

/// The most rejected rows of a file that are shown.
const REJECTS_SHOWN: usize = 10;

/// What an import of a file would give.
#[derive(Debug, Default)]
pub struct Tried {
    /// Rows that would become calls.
    pub calls: u64,
    /// Rows that would be rejected.
    pub rejected: u64,
    /// Rows that equal an earlier one with the same id.
    pub repeated: u64,
    /// How many rows are rejected for each reason.
    pub by_code: BTreeMap<String, u64>,
    /// The first calls.
    pub samples: Vec<String>,
    /// The first rejected rows.
    pub first_rejects: Vec<Reject>,
    /// What a person should look at.
    pub doubts: Vec<String>,
    /// Why the file cannot be read, or not to its end.
    pub error: Option<FileError>,
}

/// Reads a file and keeps at most so many samples. `preview`: reads no further than to the last sample.
/// Errors: [`JoinError`]: the task panicked.
pub async fn try_file(
    file: CsvFile,
    limits: RowLimits,
    samples: usize,
    preview: bool,
) -> Result<Tried, JoinError> {
    let tried = tokio::task::spawn_blocking(move || {
        let mut tried = Tried::default();
        let read = file.open().and_then(|mut rows| {
            rows.watch();
            let read = read(&mut rows, &mut tried, samples, preview, &limits);
            tried.doubts = rows.doubts();
            read
        });
        tried.error = read.err();
        tried
    });
    tried.await
}

fn read(
    rows: &mut CsvRows,
    tried: &mut Tried,
    samples: usize,
    preview: bool,
    limits: &RowLimits,
) -> Result<(), FileError> {
    let mut call = Vec::new();
    let start = limits.rows.start;
    let mut row = rows.pass_over(start)?;
    while row < limits.rows.end && !(preview && tried.samples.len() >= samples) {
        call.clear();
        match rows.next(&mut call)? {
            None if start > 0 && row <= start => return Err(limits.nothing_in_range(row)),
            None => break,
            Some(Row::Call(_) | Row::Corrected(..)) => {
                tried.calls += 1;
                if tried.samples.len() < samples {
                    tried.samples.push(String::from_utf8_lossy(&call).into_owned());
                }
            }
            Some(Row::Calls(_) | Row::Keyed(..) | Row::Skipped) => {}
            Some(Row::Repeat) => tried.repeated += 1,
            Some(Row::Rejected(reject)) => {
                tried.rejected += 1;
                *tried.by_code.entry(reject.code.clone()).or_default() += 1;
                if tried.first_rejects.len() < REJECTS_SHOWN {
                    tried.first_rejects.push(reject);
                }
            }
        }
        row += 1;
        if tried.rejected > 0 && limits.on_row_error.stops(tried.rejected, row) {
            let what = format!(
                "{} of {row} rows would be rejected, more than --on-row-error allows",
                tried.rejected
            );
            return Err(FileError::content(TOO_MANY_REJECTED, Told::plain(what)));
        }
    }
    Ok(())
}
