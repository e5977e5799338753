//! `--dry-run` and `--preview`: read and convert as an import does, and write nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::args::ImportCsvArgs;
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::print_json;
use crate::import::discovery::files::{Opening, Watched, files};
use crate::import::discovery::inputs::Input;
use crate::import::dry_run::{Tried, try_file};
use crate::import::{FileError, FileFault, RowLimits};
use crate::words::{counted, grouped, if_any, outside_text};

#[derive(serde::Serialize)]
struct JsonFile {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    calls: u64,
    rejected: u64,
    repeated: u64,
    rejected_by_code: BTreeMap<String, u64>,
    samples: Vec<Box<RawValue>>,
    doubts: Vec<String>,
    error: Option<String>,
}

impl JsonFile {
    fn new(name: String, kind: Option<String>, tried: Tried) -> Self {
        let samples = tried.samples.into_iter().filter_map(|sample| RawValue::from_string(sample).ok());
        Self {
            name,
            kind,
            calls: tried.calls,
            rejected: tried.rejected,
            repeated: tried.repeated,
            rejected_by_code: tried.by_code,
            samples: samples.collect(),
            doubts: tried.doubts,
            error: tried.error.map(|error| error.to_string()),
        }
    }
}

/// What the rows of all files would become.
#[derive(Default, serde::Serialize)]
struct Totals {
    /// The files, filled only for JSON.
    files: Vec<JsonFile>,
    rows: u64,
    calls: BTreeMap<String, u64>,
    rejected: u64,
    repeated: u64,
    #[serde(skip)]
    code: u8,
}

impl Totals {
    /// Adds a file, and prints it unless the result is for programs.
    fn add(
        &mut self,
        (name, kind): (String, Option<String>),
        tried: Tried,
        args: &ImportCsvArgs,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        self.rows += tried.calls + tried.rejected + tried.repeated;
        self.rejected += tried.rejected;
        self.repeated += tried.repeated;
        if let Some(kind) = &kind {
            *self.calls.entry(kind.clone()).or_default() += tried.calls;
        }
        self.code = self.code.max(tried.error.as_ref().map_or(0, code_of));
        if args.show.json {
            self.files.push(JsonFile::new(name, kind, tried));
            return Ok(());
        }
        print(&name, kind.as_deref(), &tried, args.preview, out)
    }

    fn print(&self, args: &ImportCsvArgs, out: &mut dyn Write) -> std::io::Result<()> {
        if args.show.json {
            return print_json(out, self);
        }
        if args.preview {
            return Ok(());
        }
        writeln!(out, "{}", self.text())
    }

    /// The last line. Only types that have calls are named.
    fn text(&self) -> String {
        let some = self.calls.iter().filter(|(_, count)| **count > 0);
        let calls: Vec<String> = some.map(|(kind, count)| format!("{} {kind}", grouped(*count))).collect();
        let calls = if calls.is_empty() { "no calls".to_owned() } else { calls.join(", ") };
        let rows = counted(self.rows, "row", "rows");
        let repeated = if_any(self.repeated, |rows| format!(", {} repeated", grouped(rows)));
        format!("{rows} would become {calls}; {} rejected{repeated}", grouped(self.rejected))
    }

    fn failure(&self) -> Result<(), Failure> {
        match self.code {
            0 if self.rejected > 0 => {
                Err(Failure::with_code(failure::SOME_REJECTED, "some rows would be rejected"))
            }
            0 => Ok(()),
            code => Err(Failure::with_code(code, "some files cannot be imported")),
        }
    }
}

/// Reads and converts every input. Errors: [`Failure`] as an import would give it.
pub(super) async fn run(
    args: &ImportCsvArgs,
    opening: &Arc<Opening>,
    inputs: Vec<Input>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (mut left, mut totals) = (args.samples, Totals::default());
    let rows = args.rows.clone().unwrap_or(0..u64::MAX);
    let limits = RowLimits { rows, on_row_error: args.on_row_error, ..RowLimits::default() };
    for input in &inputs {
        let found = match files(input, opening, &Watched::default()).await {
            Ok(found) => found,
            Err(error) => vec![Err((input.name(), error))],
        };
        for file in found {
            let ((name, kind), tried) = match file {
                Ok(file) => {
                    let about = (file.name.clone(), Some(file.kind.to_string()));
                    (about, try_file(file, limits.clone(), left, args.preview).await?)
                }
                Err((name, error)) => ((name, None), Tried { error: Some(error), ..Tried::default() }),
            };
            left = left.saturating_sub(tried.samples.len());
            totals.add((name, kind), tried, args, out)?;
        }
        if args.preview && left == 0 {
            break;
        }
    }
    totals.print(args, out)?;
    totals.failure()
}

/// The exit code of a file that cannot be read.
pub(super) fn code_of(error: &FileError) -> u8 {
    code_of_fault(error.fault)
}

/// The exit code of a failure of this kind.
pub(super) fn code_of_fault(fault: FileFault) -> u8 {
    match fault {
        FileFault::Denied => failure::DENIED,
        FileFault::Transient => failure::UNREACHABLE,
        _ => failure::FAILED,
    }
}

fn print(
    name: &str,
    kind: Option<&str>,
    tried: &Tried,
    preview: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let name = outside_text(name);
    for sample in &tried.samples {
        writeln!(out, "{sample}")?;
    }
    if let Some(kind) = kind.filter(|_| !preview) {
        writeln!(out, "{name}: {} {kind}, {} rejected", grouped(tried.calls), grouped(tried.rejected))?;
    }
    for reject in &tried.first_rejects {
        writeln!(out, "  line {}: {}: {}", reject.line, reject.code, reject.message)?;
    }
    for doubt in &tried.doubts {
        writeln!(out, "  doubt: {doubt}")?;
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
        let check = |rows, calls: &[(&'static str, u64)], rejected, expected: &str| {
            let calls = calls.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
            assert_eq!(Totals { rows, calls, rejected, ..Totals::default() }.text(), expected);
        };
        check(0, &[], 0, "0 rows would become no calls; 0 rejected");
        check(1, &[("track", 0)], 1, "1 row would become no calls; 1 rejected");
        check(5, &[("track", 3), ("page", 1)], 1, "5 rows would become 1 page, 3 track; 1 rejected");
    }
}
