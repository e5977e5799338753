//! `--dry-run` and `--preview`: reads and converts as an import does, and writes nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use super::args::ImportCsvArgs;
use super::files::{CsvFile, Opening, Watched, files};
use super::inputs::Input;
use crate::cli::failure::{self, Failure};
use crate::import::{FileError, FileFault, Reject, Row, RowLimits, RowReader as _};
use crate::words::{counted, grouped};

/// The most rejected rows of a file that are shown.
const REJECTS_SHOWN: usize = 10;

/// What a file would give.
#[derive(Default)]
struct Tried {
    calls: u64,
    rejected: u64,
    by_code: BTreeMap<String, u64>,
    samples: Vec<String>,
    first_rejects: Vec<Reject>,
    error: Option<FileError>,
}

#[derive(serde::Serialize)]
struct Json<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    calls: u64,
    rejected: u64,
    rejected_by_code: &'a BTreeMap<String, u64>,
    error: Option<String>,
}

/// Reads every input.
///
/// # Errors
/// [`Failure`] as an import would give it.
pub(super) async fn run(
    args: &ImportCsvArgs,
    opening: &Arc<Opening>,
    inputs: Vec<Input>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (mut left, mut code, mut totals) = (args.samples, 0, BTreeMap::<&'static str, u64>::new());
    let (mut rows, mut rejected) = (0, 0);
    for input in &inputs {
        let found = match files(input, opening, &Watched::default()).await {
            Ok(found) => found,
            Err(error) => {
                writeln!(out, "{}: {error}", input.name())?;
                code = code.max(code_of(&error));
                continue;
            }
        };
        for file in found {
            let (kind, name) = (file.kind.name(), file.name.clone());
            let (wanted, rows_wanted) = (left, args.rows.clone().unwrap_or(0..u64::MAX));
            let (preview, on_row_error) = (args.preview, args.on_row_error);
            let tried = tokio::task::spawn_blocking(move || {
                let mut tried = Tried::default();
                let limits = RowLimits { rows: rows_wanted, on_row_error };
                if let Err(error) = read(&file, &mut tried, wanted, preview, &limits) {
                    tried.error = Some(error);
                }
                tried
            })
            .await?;
            left = left.saturating_sub(tried.samples.len());
            rows += tried.calls + tried.rejected;
            rejected += tried.rejected;
            *totals.entry(kind).or_default() += tried.calls;
            code = code.max(tried.error.as_ref().map_or(0, code_of));
            print(&name, kind, &tried, args, out)?;
        }
        if args.preview && left == 0 {
            break;
        }
    }
    if !args.show.json && !args.preview {
        writeln!(out, "{}", would_import(rows, &totals, rejected))?;
    }
    match code {
        0 if rejected > 0 => Err(Failure::with_code(failure::SOME_REJECTED, "some rows would be rejected")),
        0 => Ok(()),
        code => Err(Failure::with_code(code, "some files cannot be imported")),
    }
}

fn would_import(rows: u64, totals: &BTreeMap<&'static str, u64>, rejected: u64) -> String {
    let some = totals.iter().filter(|(_, count)| **count > 0);
    let calls: Vec<String> = some.map(|(kind, count)| format!("{} {kind}", grouped(*count))).collect();
    let of_calls = if calls.is_empty() { String::new() } else { format!(": {}", calls.join(", ")) };
    format!("would import {}{of_calls}; {} rejected", counted(rows, "row", "rows"), grouped(rejected))
}

fn code_of(error: &FileError) -> u8 {
    match error.fault {
        FileFault::Denied => failure::DENIED,
        FileFault::Transient => failure::UNREACHABLE,
        _ => failure::FAILED,
    }
}

fn read(
    file: &CsvFile,
    tried: &mut Tried,
    samples: usize,
    preview: bool,
    limits: &RowLimits,
) -> Result<(), FileError> {
    let mut rows = file.open()?;
    let mut call = Vec::new();
    let mut row = rows.skip(limits.rows.start)?;
    while row < limits.rows.end && !(preview && tried.samples.len() >= samples) {
        call.clear();
        match rows.next(&mut call)? {
            None => break,
            Some(Row::Call(_)) => {
                tried.calls += 1;
                if tried.samples.len() < samples {
                    tried.samples.push(String::from_utf8_lossy(&call).into_owned());
                }
            }
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
            return Err(FileError::content("E-ROWS", what));
        }
    }
    Ok(())
}

fn print(
    name: &str,
    kind: &str,
    tried: &Tried,
    args: &ImportCsvArgs,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for sample in &tried.samples {
        writeln!(out, "{sample}")?;
    }
    if args.show.json {
        let json = Json {
            name,
            kind,
            calls: tried.calls,
            rejected: tried.rejected,
            rejected_by_code: &tried.by_code,
            error: tried.error.as_ref().map(ToString::to_string),
        };
        serde_json::to_writer(&mut *out, &json)?;
        return writeln!(out);
    }
    if !args.preview {
        writeln!(out, "{name}: {} {kind}, {} rejected", grouped(tried.calls), grouped(tried.rejected))?;
    }
    for reject in &tried.first_rejects {
        writeln!(out, "  line {}: {}: {}", reject.line, reject.code, reject.message)?;
    }
    if let Some(error) = &tried.error {
        writeln!(out, "{name}: {error}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_only_calls_that_there_are() {
        let check = |rows, totals: &[(&'static str, u64)], rejected, expected: &str| {
            assert_eq!(would_import(rows, &totals.iter().copied().collect(), rejected), expected);
        };
        check(0, &[], 0, "would import 0 rows; 0 rejected");
        check(1, &[("track", 0)], 1, "would import 1 row; 1 rejected");
        check(5, &[("track", 3), ("page", 1)], 1, "would import 5 rows: 1 page, 3 track; 1 rejected");
    }
}
