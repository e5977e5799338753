//! The records of a CSV text that a converter describes.

use std::borrow::Cow;
use std::io::{Cursor, Read as _};

use super::words::{error_for_converter, for_converter};
use crate::convert::{Columns, CsvSettings, Row, RowReject, Value};
use crate::import::csv::{
    Dialect, Item, Record, Records, RowError, check_blanks, delimiter_of, line_end_of, of_io,
};
use crate::import::file_error::FileError;
use crate::import::reading::opened::Text;
use crate::words::{Told, counted, grouped, outside_text_within};

/// The most columns of the header that an error names.
const NAMES_SHOWN: usize = 10;
/// The most characters of a name in an error.
const NAME_CHARS: usize = 64;

/// Reads records below a header.
pub(in crate::import) struct Table {
    records: Records<std::io::Chain<Cursor<Vec<u8>>, Text>>,
    pub(in crate::import) record: Record,
    /// The names of the columns.
    pub(in crate::import) names: Vec<String>,
    /// The byte between two fields, as named or found.
    pub(in crate::import) delimiter: u8,
    /// The columns that the converter needs: where they are, and their slots.
    needed: Vec<(usize, usize)>,
}

debug_fields!(Table { names });

impl Table {
    /// Reads the header of a text that begins with `sample`, which may be all of it.
    /// Errors: [`FileError`]: the text cannot be read, or its header cannot be used.
    pub(in crate::import) fn open(
        (sample, at_end): (Vec<u8>, bool),
        text: Text,
        settings: &CsvSettings,
        columns: &Columns,
    ) -> Result<Self, FileError> {
        let CsvSettings { header: named, delimiter, quote, escape, .. } = settings;
        let delimiter = match delimiter {
            Some(delimiter) => *delimiter,
            None => delimiter_of(&sample, at_end, *quote, *escape).map_err(error_for_converter)?,
        };
        let dialect = Dialect { delimiter, quote: *quote, escape: *escape, ..Dialect::default() };
        let width = named.as_ref().map(Vec::len);
        let line_end = line_end_of(&sample, at_end, &dialect, width);
        let mut records = Records::new(Cursor::new(sample).chain(text), dialect).with_lines(line_end, width);
        let mut header = Record::default();
        match named {
            Some(names) => header = Record::of_fields(names),
            None => match records.read_header(&mut header).map_err(|error| of_io(&error))? {
                Some(Item::Record) => {}
                Some(Item::Broken(error)) => return Err(no_row(&error)),
                None => return Err(bad_header("the file is empty: it has no header")),
            },
        }
        if let Some(doubt) = header.doubt() {
            return Err(no_row(doubt));
        }
        if settings.delimiter.is_none() {
            check_blanks(&header).map_err(error_for_converter)?;
        }
        let needed = needed_columns(&header, columns)?;
        let names = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        Ok(Self { records, record: Record::default(), names, delimiter, needed })
    }

    /// Reads the next record; `None` at the end. The inner error is that of a record that is no row.
    /// Errors: [`FileError`]: the text cannot be read.
    pub(in crate::import) fn next(&mut self) -> Result<Option<Result<(), RowReject>>, FileError> {
        let read = self.records.read(&mut self.record).map_err(|error| of_io(&error))?;
        let Some(item) = read else { return Ok(None) };
        let error = match (item, self.record.doubt()) {
            (Item::Broken(error), _) => Some(error),
            (Item::Record, doubt) => doubt.cloned(),
        };
        Ok(Some(match error {
            Some(error) => Err(RowReject { code: error.code(), message: for_converter(&error.to_string()) }),
            None => self.check(),
        }))
    }

    fn check(&self) -> Result<(), RowReject> {
        if self.record.len() != self.names.len() {
            let expected = counted(self.names.len() as u64, "field", "fields");
            let message = format!("expected {expected}, got {}", grouped(self.record.len() as u64));
            return Err(RowReject { code: "width", message });
        }
        if !self.record.is_utf8() {
            let message = "the row is not UTF-8 (if the file has another encoding, set \"encoding\" of csv in the \
                           converter)";
            return Err(RowReject { code: "utf8", message: message.to_owned() });
        }
        Ok(())
    }

    /// Sets the columns of the record that was read last.
    pub(in crate::import) fn fill<'t>(&'t self, row: &mut Row<'t>) {
        // The record was found to be UTF-8.
        let texts = self.record.texts();
        for (index, slot) in &self.needed {
            if let Some(cell) = texts(*index) {
                row.set(*slot, Value::Text(Cow::Borrowed(cell)));
            }
        }
    }
}

/// Where the columns are that a converter needs, and their slots.
fn needed_columns(header: &Record, columns: &Columns) -> Result<Vec<(usize, usize)>, FileError> {
    let shown =
        |name: &[u8]| format!("\"{}\"", outside_text_within(&String::from_utf8_lossy(name), NAME_CHARS));
    let mut needed: Vec<(usize, usize)> = Vec::with_capacity(columns.len());
    for (index, name) in header.iter().enumerate() {
        let Some(slot) = columns.slot(name) else { continue };
        if needed.iter().any(|(_, known)| *known == slot) {
            // The converter has the name, too.
            let columns = grouped(header.iter().filter(|other| *other == name).count() as u64);
            let name = shown(name);
            return Err(bad_header(Told::plain(format!(
                "the header has {columns} columns {name}, and the converter reads it: give each of them a name of its own"
            ))));
        }
        needed.push((index, slot));
    }
    if needed.is_empty() && !columns.is_empty() {
        let names: Vec<String> = header.iter().take(NAMES_SHOWN).map(shown).collect();
        let more = if header.len() > NAMES_SHOWN { ", …" } else { "" };
        let wanted: Vec<&str> = columns.names().take(NAMES_SHOWN).collect();
        // In a file without a header the names are values of its first row.
        let has = Told::plain("the header has none of the columns that the converter reads: it has ")
            .and_private(
                &format!("{}{more}", names.join(", ")),
                &counted(header.len() as u64, "column", "columns"),
            );
        let rest = format!(
            ", and the converter reads {} (if the first row is no header, name the columns with \"header\" of csv in \
             the converter)",
            wanted.join(", ")
        );
        return Err(bad_header(has.and(&Told::plain(rest))));
    }
    Ok(needed)
}

/// The error of a header that cannot be one row. What the row says is a value of the file.
fn no_row(error: &RowError) -> FileError {
    let full = for_converter(&format!("the header is no row: {error}"));
    bad_header(Told::masked_as(full, format!("the header is no row ({})", error.code())))
}

fn bad_header(what: impl Into<Told>) -> FileError {
    FileError::content("E-CSV-HEADER", what)
}
