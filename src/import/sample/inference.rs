//! Makes a first converter of the first rows of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinError;

use super::found::{Opening, SampleFile, SampleFiles};
use super::limits::ROWS_MAX;
use super::previewer::Previewer;
use super::source_rows::{Cells, SourceRows};
use crate::convert::infer::{CannotInfer, Inferred, NamedColumns, Observed, SampleOf, infer, pattern_of_all};
use crate::convert::{Columns, Compression, CsvSettings, DataType, FileFormat};
use crate::import::converted::format;
use crate::import::csv::{of_io, sample_of};
use crate::import::file_error::FileError;
use crate::import::reading::parquet::MAGIC;
use crate::import::reading::text::suggest_encoding;
use crate::time::UnixMillis;
use crate::words::{counted, grouped, outside_text};

/// What converter is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What the rows are.
    pub data_type: DataType,
    /// The columns that a person named.
    pub named: NamedColumns,
    /// The longest call, in bytes of JSON.
    pub max_event: usize,
}

/// What a person asks of a converter for the files of an import.
#[derive(Clone, Debug, Default)]
pub struct AskedConverter {
    /// What the rows are; `None`: what the import says.
    pub data_type: Option<DataType>,
    /// The columns that a person named.
    pub named: NamedColumns,
}

impl AskedConverter {
    /// What is wanted for an import of such rows. `max_event`: the longest call, in bytes of JSON.
    pub fn wanted(self, of_import: DataType, max_event: usize) -> Wanted {
        Wanted { data_type: self.data_type.unwrap_or(of_import), named: self.named, max_event }
    }
}

/// Why no converter can be made of a file.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its rows are not enough.
    #[error(transparent)]
    Cannot(#[from] CannotInfer),
    /// There is no file.
    #[error("there is no file")]
    NoFile,
    /// The task panicked.
    #[error(transparent)]
    Task(#[from] JoinError),
}

/// A converter for files like the first of these, by its first [`ROWS_MAX`] rows. Errors: [`InferError`].
pub async fn infer_first(
    files: SampleFiles,
    opening: Opening,
    wanted: Wanted,
    now: UnixMillis,
) -> Result<Inferred, InferError> {
    let SampleFiles { found, keys, .. } = files;
    let first = found.into_iter().next().ok_or(InferError::NoFile)?;
    let file = first.map_err(|(_, error)| error)?;
    let inferred = tokio::task::spawn_blocking(move || infer_file(&file, &opening, &wanted, now)).await??;
    Ok(with_other_keys(inferred, &keys.rests))
}

/// Says that the pattern leaves out other keys of the same place, and which pattern does not: it was made of
/// the name of one file.
fn with_other_keys(mut inferred: Inferred, rests: &[String]) -> Inferred {
    let Some(pattern) = &inferred.converter.file().pattern else { return inferred };
    let matching = rests.iter().filter(|rest| pattern.matches(rest, "")).count() as u64;
    let all = rests.len() as u64;
    if matching < all {
        let rests: Vec<&str> = rests.iter().map(String::as_str).collect();
        inferred.notes.push(format!(
            "filterPattern {} matches {} of {}, and an import leaves out the others; if they are of this kind, too, take {}",
            outside_text(pattern.as_str()),
            grouped(matching),
            counted(all, "key that was listed", "keys that were listed"),
            outside_text(&pattern_of_all(&rests))
        ));
    }
    inferred
}

/// What a person should know about rows of a sample that cannot be read: how many by their code, and the encoding that
/// they may have.
fn not_read(bad: &BTreeMap<&'static str, u64>, encoding: Option<&str>) -> Vec<String> {
    let of_code = |(code, count): (&&str, &u64)| {
        format!("{} of the sample cannot be read ({code})", counted(*count, "row", "rows"))
    };
    let encoding = encoding.filter(|_| bad.contains_key("utf8")).map(|encoding| {
        format!("the sample may be {encoding}: add \"encoding\": \"{encoding}\" to csv if it is")
    });
    bad.iter().map(of_code).chain(encoding).collect()
}

fn infer_file(
    file: &SampleFile,
    opening: &Opening,
    wanted: &Wanted,
    now: UnixMillis,
) -> Result<Inferred, InferError> {
    let (file_format, encoding) = looks_like(file, opening)?;
    let (csv, none) = (CsvSettings::default(), Columns::default());
    let mut rows = SourceRows::open(file.file_as(file_format, None, opening)?, file_format, &csv, &none)?;
    let delimiter = rows.delimiter();
    let mut observed = Observed::default();
    let mut bad: BTreeMap<&'static str, u64> = BTreeMap::new();
    for _ in 0..ROWS_MAX {
        let looked = rows.next(&none, |row, read| match (row.cells, read) {
            (Cells::Line(text), Ok(_)) => observed.add_json(text).err(),
            (Cells::Record(_), Ok(_)) => {
                observed.add_cells(row.cells.of_table());
                None
            }
            (_, read) => read.err(),
        })?;
        match looked {
            None => break,
            Some(None) => {}
            Some(Some(reject)) => *bad.entry(reject.code).or_default() += 1,
        }
    }
    let sample = SampleOf {
        name: file.key.as_deref(),
        format: file_format,
        compression: Compression::of(file.compression()).unwrap_or(Compression::Auto),
        delimiter,
    };
    let not_read = not_read(&bad, encoding);
    let inferred = infer(&sample, &observed, wanted.data_type, &wanted.named, wanted.max_event);
    let mut inferred = inferred.map_err(|error| match error {
        CannotInfer::NoRows(_) => {
            let in_utf8 = encoding.map(|encoding| {
                format!("then infer from a copy of the sample in UTF-8: `iconv -f {encoding} -t utf-8`")
            });
            CannotInfer::NoRows(not_read.iter().cloned().chain(in_utf8).collect())
        }
        other => other,
    })?;
    inferred.notes.extend(rows.warnings());
    inferred.notes.extend(not_read);
    // The sample is converted, so that nobody has to believe that the converter works.
    let mut previewer = Previewer::new(Arc::new(inferred.converter.clone()), 0, now);
    previewer.file(file, opening, 1);
    let preview = previewer.finish(0);
    if let Some(error) = preview.files.iter().find_map(|file| file.error.as_ref()) {
        inferred.notes.push(format!("the sample cannot be read to its end: {error}"));
    }
    let mut result = format!(
        "{} {}",
        counted(preview.rows, "row of the sample becomes", "rows of the sample become"),
        counted(preview.calls, "call", "calls")
    );
    for rejects in &preview.rejected_by_code {
        result += &format!(
            "; {} rejected: {} (line {}: {})",
            grouped(rejects.rows),
            rejects.code,
            rejects.line,
            rejects.message
        );
    }
    inferred.notes.push(result);
    Ok(inferred)
}

/// The format of a file, and a likely encoding of one that is not UTF-8.
fn looks_like(file: &SampleFile, opening: &Opening) -> Result<(FileFormat, Option<&'static str>), FileError> {
    if file.begins_as_parquet {
        return Ok((FileFormat::Parquet, None));
    }
    let mut text = file.open(None, opening)?;
    let (sample, _) = sample_of(&mut text, 0).map_err(|error| of_io(&error))?;
    if sample.starts_with(MAGIC) {
        return Ok((FileFormat::Parquet, None));
    }
    let begins = sample.trim_ascii_start();
    if begins.starts_with(b"[") {
        return Err(format::is_array());
    }
    if begins.starts_with(b"{") {
        return Ok((FileFormat::Json, None));
    }
    format::check(&sample, FileFormat::Csv)?;
    let name = file.name.to_ascii_lowercase();
    if [".json", ".jsonl", ".ndjson"].iter().any(|extension| name.contains(extension)) {
        return Err(match begins.is_empty() {
            true => FileError::content("E-EMPTY", "the file is empty: name one with rows"),
            false => {
                let what =
                    "the name says JSON, and the first line is no JSON object: write one object a line";
                FileError::content("E-FORMAT", what)
            }
        });
    }
    Ok((FileFormat::Csv, suggest_encoding(&sample)))
}
