//! The rows of a file as calls, by a converter: JSON lines, CSV, or parquet.

pub(in crate::import) mod format;
pub(in crate::import) mod lines;
pub(in crate::import) mod table;
mod words;

use std::borrow::Cow;
use std::io::{self, Cursor, Read as _};
use std::sync::Arc;

use crate::convert::{Calls, Converter, FileFormat, Outcome, Row as Values, RowPlace, RowReject};
use crate::import::column_names::{ColumnsMet, names_of};
use crate::import::csv::{of_io, sample_of};
use crate::import::file_error::FileError;
use crate::import::importer::ROWS_MAX;
use crate::import::reading::open_file::OpenFile;
use crate::import::reading::opened::Text;
use crate::import::reading::parquet::{ParquetRows, RowRead};
use crate::import::reject::Reject;
use crate::import::row_hash::RowHash;
use crate::import::rows::{Row, RowReader, SKIPS_AT_ONCE};
use crate::time::UnixMillis;
use crate::words::{counted, grouped};

pub use lines::LINE_BYTES_MAX;
use lines::{Line, Lines};
use table::Table;

/// How the rows of a file become calls.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The converter.
    pub converter: Arc<Converter>,
    /// See [`RowPlace::id_prefix`].
    pub id_prefix: String,
    /// See [`RowPlace::sequence_prefix`].
    pub sequence_prefix: String,
    /// The time for operators that ask for it.
    pub now: UnixMillis,
}

/// Reads the rows of a file through a converter. Rows are known by their position.
pub struct ConvertedRows {
    name: String,
    how: Conversion,
    source: Source,
    /// The memory of a row and of its calls.
    values: Values<'static>,
    calls: Calls,
    /// The next row's number.
    next: u64,
    /// Where the columns of lines are noted, and of how many more.
    met: Option<(Arc<ColumnsMet>, u32)>,
}

/// The number of lines at the beginning of a file whose members count as its columns.
const LINES_LOOKED_AT: u32 = 100;

debug_fields!(ConvertedRows { name, next });

/// Where the rows are.
enum Source {
    Lines { lines: Box<Lines<io::Chain<Cursor<Vec<u8>>, Text>>>, has_begun: bool },
    Table(Box<Table>),
    Parquet(Box<ParquetRows>),
}

/// A row as its file has it, for its rejection.
struct Place<'p> {
    line: u64,
    byte: u64,
    raw: Cow<'p, [u8]>,
    is_whole: bool,
}

impl ConvertedRows {
    /// Reads the beginning of a text, or the end of parquet. Errors: [`FileError`]: the file cannot be read,
    /// or it is not of the converter's format, or its header or a column cannot be used.
    pub fn open(name: &str, input: OpenFile, how: Conversion) -> Result<Self, FileError> {
        let (file, columns) = (how.converter.file(), how.converter.columns());
        let source = match input {
            OpenFile::Parquet(ranges, _) => {
                Source::Parquet(Box::new(ParquetRows::open(ranges, columns).map_err(format::of_parquet)?))
            }
            OpenFile::Text(mut text) => {
                let (sample, at_end) = sample_of(&mut text, 0).map_err(|error| of_io(&error))?;
                format::check(&sample, file.format)?;
                match file.format {
                    FileFormat::Csv => {
                        Source::Table(Box::new(Table::open((sample, at_end), text, &file.csv, columns)?))
                    }
                    FileFormat::Json | FileFormat::Parquet => Source::Lines {
                        lines: Box::new(Lines::new(Cursor::new(sample).chain(text))),
                        has_begun: false,
                    },
                }
            }
        };
        let values = Values::new(how.converter.columns());
        Ok(Self { name: name.to_owned(), how, source, values, calls: Calls::default(), next: 0, met: None })
    }

    /// Notes which columns the file has. Of JSON lines, those that are read first say it.
    pub(in crate::import) fn noting_columns(mut self, met: &Arc<ColumnsMet>) -> Self {
        match &self.source {
            Source::Lines { .. } => self.met = Some((Arc::clone(met), LINES_LOOKED_AT)),
            Source::Table(table) => met.note(table.names.iter().map(String::as_str)),
            Source::Parquet(rows) => met.note(rows.names()),
        }
        self
    }
}

/// Reads the next line that is not blank.
fn next_line<'l>(
    lines: &'l mut Lines<io::Chain<Cursor<Vec<u8>>, Text>>,
    has_begun: &mut bool,
) -> Result<Option<Line<'l>>, FileError> {
    let line = lines.next().map_err(|error| of_io(&error))?;
    let is_first = !std::mem::replace(has_begun, true);
    if is_first && line.is_some_and(|line| line.bytes.trim_ascii_start().starts_with(b"[")) {
        return Err(format::is_array());
    }
    Ok(line)
}

/// The text of a line. Errors: [`RowReject`]: it is too long, or not UTF-8.
pub(in crate::import) fn text_of(line: Line<'_>) -> Result<&str, RowReject> {
    if line.is_too_long {
        let message = format!("the line has more than {} bytes", grouped(LINE_BYTES_MAX as u64));
        return Err(RowReject { code: "too-large", message });
    }
    std::str::from_utf8(line.bytes).map_err(|error| {
        let message = format!("the line is not UTF-8 at byte {}", error.valid_up_to());
        RowReject { code: "utf8", message }
    })
}

/// Appends the calls of a row to `out`.
fn convert(
    how: &Conversion,
    row: u64,
    values: &Values<'_>,
    calls: &mut Calls,
    out: &mut Vec<u8>,
) -> Result<Row, RowReject> {
    let place = RowPlace { id_prefix: &how.id_prefix, sequence_prefix: &how.sequence_prefix, row };
    calls.clear();
    let key = match how.converter.convert(values, &place, how.now, calls) {
        Outcome::Skipped => return Ok(Row::Skipped),
        Outcome::Rejected(reject) => return Err(reject),
        Outcome::Calls { key, .. } => key,
    };
    // The limit of bytes is met first as long as each call has something in common with the others.
    let count = u32::try_from(calls.len()).unwrap_or(u32::MAX);
    if u64::from(count) > ROWS_MAX {
        let (count, max) = (grouped(u64::from(count)), grouped(ROWS_MAX));
        let message = format!("the row gives {count} calls; the limit is {max}");
        return Err(RowReject { code: "too-large", message });
    }
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(call);
    }
    // No calls and no rejection: the row is skipped.
    Ok(match key {
        _ if count == 0 => Row::Skipped,
        Some(key) => Row::Keyed(count, key),
        None => Row::Calls(count),
    })
}

fn reject(name: &str, row: u64, place: &Place<'_>, why: RowReject) -> Row {
    let (raw, raw_base64) = Reject::raw_of(&place.raw);
    Row::Rejected(Reject {
        file: name.to_owned(),
        row,
        line: place.line,
        byte: place.byte,
        code: why.code.to_owned(),
        message: why.message,
        raw,
        raw_base64,
        content: place.is_whole.then(|| RowHash::of_content(&place.raw).to_string()),
        id_taken: None,
        retried: None,
    })
}

/// Says how many values became null.
fn warn_about_numbers(name: &str, count: u64) {
    if count > 0 {
        let count = counted(count, "number is", "numbers are");
        tracing::warn!(
            "{name}: {count} infinite or no number (NaN), which JSON does not have: null in the calls"
        );
    }
}

impl RowReader for ConvertedRows {
    fn skips_at_once(&self) -> u64 {
        // Row groups that are skipped as a whole are not read, however long they are.
        if matches!(self.source, Source::Parquet(_)) { u64::MAX } else { SKIPS_AT_ONCE }
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
        let Self { name, how, source, values: memory, calls, next, met } = self;
        let mut values: Values<'_> = std::mem::take(memory);
        let (row, place) = match source {
            Source::Lines { lines, has_begun } => {
                let Some(line) = next_line(lines, has_begun)? else { return Ok(None) };
                let text = text_of(line);
                if let (Ok(text), Some((columns, left))) = (&text, met.as_mut()) {
                    columns.note(names_of(text).iter().map(String::as_str));
                    *left -= 1;
                    if *left == 0 {
                        *met = None;
                    }
                }
                let read = text.and_then(|text| values.read_json(how.converter.columns(), text));
                let row = read.and_then(|()| convert(how, *next, &values, calls, out));
                let Line { bytes: raw, number: line, byte, is_too_long } = line;
                (row, Place { line, byte, raw: raw.into(), is_whole: !is_too_long })
            }
            Source::Table(table) => {
                let Some(read) = table.next()? else { return Ok(None) };
                let is_whole = !table.record.is_empty();
                let read = read.map(|()| table.fill(&mut values));
                let row = read.and_then(|()| convert(how, *next, &values, calls, out));
                let (line, byte) = table.record.begins_at();
                (row, Place { line, byte, raw: table.record.raw().into(), is_whole })
            }
            Source::Parquet(rows) => {
                let columns = how.converter.columns();
                let row = match rows.read(&mut values).map_err(format::of_parquet)? {
                    RowRead::End => {
                        warn_about_numbers(name, rows.not_in_json());
                        return Ok(None);
                    }
                    RowRead::Row => convert(how, *next, &values, calls, out),
                    RowRead::Rejected(why) => Err(why),
                };
                let mut raw = Vec::new();
                if row.is_err() {
                    values.write(columns, &mut raw);
                }
                // The file has no lines, and perhaps more columns than these.
                (row, Place { line: *next + 1, byte: 0, raw: raw.into(), is_whole: false })
            }
        };
        let row = row.unwrap_or_else(|why| reject(name, *next, &place, why));
        *memory = values.cleared();
        *next += 1;
        Ok(Some(row))
    }

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            let is_there = match &mut self.source {
                Source::Parquet(of_file) => {
                    let passed = of_file.skip(rows).map_err(format::of_parquet)?;
                    self.next += passed;
                    return Ok(passed);
                }
                Source::Lines { lines, has_begun } => next_line(lines, has_begun)?.is_some(),
                Source::Table(table) => table.next()?.is_some(),
            };
            if !is_there {
                return Ok(skipped);
            }
            self.next += 1;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
