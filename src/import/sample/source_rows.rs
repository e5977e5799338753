//! The rows of a file with everything that they hold, not only what a converter reads.

use std::io::{self, Cursor, Read as _};

use super::json_text::object_text;
use crate::convert::{Columns, CsvSettings, FileFormat, Row, RowReject};
use crate::import::converted::lines::{Line, Lines};
use crate::import::converted::table::Table;
use crate::import::converted::{format, text_of};
use crate::import::csv::{of_io, sample_of};
use crate::import::file_error::FileError;
use crate::import::reading::open_file::OpenFile;
use crate::import::reading::opened::Text;
use crate::import::reading::parquet::{ParquetRows, RowRead, WholeRows};
use crate::words::counted;

/// Reads rows.
pub(super) struct SourceRows {
    source: Source,
    next: u64,
}

enum Source {
    Lines(Box<Lines<io::Chain<Cursor<Vec<u8>>, Text>>>),
    Table(Box<Table>),
    Parquet(Box<WholeRows>),
}

/// A row as its file has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceRow<'r> {
    /// Its number, from 0.
    pub(super) number: u64,
    /// Its line, from 1.
    pub(super) line: u64,
    /// Its bytes.
    pub(super) raw: &'r [u8],
    /// What it holds.
    pub(super) cells: Cells<'r>,
}

/// What a row holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cells<'r> {
    /// A line, or a row of parquet, as JSON.
    Line(&'r str),
    /// A row of a table.
    Record(&'r Table),
    /// Nothing that can be read.
    Nothing,
}

impl Cells<'_> {
    /// The names and the cells of a row of a table; nothing of a line.
    pub(super) fn of_table(&self) -> impl Iterator<Item = (&str, &str)> {
        let table = if let Self::Record(table) = self { Some(*table) } else { None };
        table.into_iter().flat_map(|table| {
            let cells = table.record.iter().map(|cell| std::str::from_utf8(cell).unwrap_or_default());
            table.names.iter().map(String::as_str).zip(cells)
        })
    }

    /// The row as JSON: a line as it is, a row of a table as an object. `None`: it is not one JSON object.
    pub(super) fn json(&self) -> Option<String> {
        match self {
            Self::Line(text) => Some(text.trim().to_owned()),
            Self::Record(_) => Some(object_text(self.of_table())),
            Self::Nothing => None,
        }
    }
}

impl SourceRows {
    /// Reads the beginning of a text, or the end of parquet. Errors: [`FileError`]: the file cannot be read,
    /// or it is of another format, or its header has not the columns that are needed, or one of them cannot
    /// be read.
    pub(super) fn open(
        input: OpenFile,
        file_format: FileFormat,
        csv: &CsvSettings,
        columns: &Columns,
    ) -> Result<Self, FileError> {
        let mut text = match input {
            OpenFile::Text(text) => text,
            OpenFile::Parquet(ranges, _) => {
                let rows = ParquetRows::open_whole(ranges, columns).map_err(format::of_parquet)?;
                return Ok(Self { source: Source::Parquet(Box::new(rows)), next: 0 });
            }
        };
        let (sample, at_end) = sample_of(&mut text, 0).map_err(|error| of_io(&error))?;
        format::check(&sample, file_format)?;
        if file_format != FileFormat::Csv && sample.trim_ascii_start().starts_with(b"[") {
            return Err(format::is_array());
        }
        let source = match file_format {
            FileFormat::Csv => Source::Table(Box::new(Table::open((sample, at_end), text, csv, columns)?)),
            FileFormat::Json | FileFormat::Parquet => {
                Source::Lines(Box::new(Lines::new(Cursor::new(sample).chain(text))))
            }
        };
        Ok(Self { source, next: 0 })
    }

    /// The byte between two fields of a table.
    pub(super) fn delimiter(&self) -> Option<u8> {
        match &self.source {
            Source::Lines(_) | Source::Parquet(_) => None,
            Source::Table(table) => Some(table.delimiter),
        }
    }

    /// The names of all columns, if the file has a schema.
    pub(super) fn schema(&self) -> impl Iterator<Item = &str> {
        self.parquet().into_iter().flat_map(|whole| whole.rows.names())
    }

    /// What a person should know of the file: columns that cannot be read, and numbers that JSON does not
    /// have.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Some(WholeRows { rows, unread, .. }) = self.parquet() else { return Vec::new() };
        let numbers = rows.not_in_json();
        let numbers = (numbers > 0).then(|| {
            let numbers = counted(numbers, "number is", "numbers are");
            format!("{numbers} infinite or no number (NaN), which JSON does not have: null in the calls")
        });
        unread.iter().cloned().chain(numbers).collect()
    }

    fn parquet(&self) -> Option<&WholeRows> {
        if let Source::Parquet(whole) = &self.source { Some(whole) } else { None }
    }

    /// Reads the next row, and has `look` look at it with the columns of a converter. `None` at the end.
    /// Errors: [`FileError`]: the text cannot be read.
    pub(super) fn next<T>(
        &mut self,
        columns: &Columns,
        look: impl FnOnce(SourceRow<'_>, Result<&Row<'_>, RowReject>) -> T,
    ) -> Result<Option<T>, FileError> {
        let number = self.next;
        let mut values = Row::new(columns);
        let looked = match &mut self.source {
            Source::Lines(lines) => {
                let Some(line) = lines.next().map_err(|error| of_io(&error))? else { return Ok(None) };
                let text = text_of(line);
                let cells = text.as_ref().map_or(Cells::Nothing, |text| Cells::Line(text));
                let read = text.and_then(|text| values.read_json(columns, text));
                let Line { bytes: raw, number: line, .. } = line;
                let cells = if read.is_ok() { cells } else { Cells::Nothing };
                look(SourceRow { number, line, raw, cells }, read.map(|()| &values))
            }
            Source::Table(table) => {
                let Some(read) = table.next()? else { return Ok(None) };
                let table: &Table = table;
                let cells = if read.is_ok() { Cells::Record(table) } else { Cells::Nothing };
                let read = read.map(|()| table.fill(&mut values));
                let (line, _) = table.record.begins_at();
                look(SourceRow { number, line, raw: table.record.raw(), cells }, read.map(|()| &values))
            }
            Source::Parquet(whole) => {
                let WholeRows { rows, columns, .. } = &mut **whole;
                // The columns that the caller knows are the first of these, in the same slots.
                let mut values = Row::new(columns);
                let read = match rows.read(&mut values).map_err(format::of_parquet)? {
                    RowRead::End => return Ok(None),
                    RowRead::Row => Ok(&values),
                    RowRead::Rejected(why) => Err(why),
                };
                let mut raw = Vec::new();
                values.write(columns, &mut raw);
                let cells = std::str::from_utf8(&raw).map_or(Cells::Nothing, Cells::Line);
                look(SourceRow { number, line: number + 1, raw: &raw, cells }, read)
            }
        };
        self.next += 1;
        Ok(Some(looked))
    }
}

debug_fields!(SourceRows { next });
