//! The rows of a CSV text as calls: text, records and plan together.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::beside_traits;
use super::blanks::{Blanks, check_blanks};
use super::how_written::HowWritten;
use super::watch::Watch;
use super::{CsvOptions, Dialect, FileType, FoundTypes, Item, MessageIds, Plan, Record, Records, RowError};
use crate::import::file_error::{FileError, FileFault};
use crate::import::file_id::FileId;
use crate::import::prefix::Prefix;
use crate::import::reading::decompress::DecompressError;
use crate::import::reading::guard::ExpansionError;
use crate::import::reading::opened::Text;
use crate::import::reading::temporary::NoCopy;
use crate::import::reading::text::suggest_encoding;
use crate::import::reading::zip::ZipError;
use crate::import::reading::{ReadingError, typed};
use crate::import::reject::Reject;
use crate::import::row_hash::RowHash;
use crate::import::row_ids::{Met, RowIds};
use crate::import::rows::{Row, RowReader};
use crate::lock::lock;
use crate::object::Collection;
use crate::words::Told;

/// Bytes of a text that are inspected before its rows are read; also the most, if lines are long and the
/// delimiter is to be found. A header of 10,000 columns fits, and so does the longest record by default.
const SAMPLE_BYTES: usize = 64 * 1_024;
const SAMPLE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Lines that are enough to find a delimiter: the header and some rows.
const SAMPLE_LINES: usize = 10;

/// Bytes at the beginning of a file that show whether it is binary.
const BINARY_SAMPLE_BYTES: usize = 8_000;

type Input = io::Chain<Cursor<Vec<u8>>, Text>;

/// Reads a CSV text.
pub struct CsvRows {
    name: String,
    /// How the plan is made again, if types were found for it.
    found_from: Option<Box<FoundFrom>>,
    records: Records<Input>,
    record: Record,
    plan: Plan,
    /// Checks for blanks, unless all blanks are kept.
    blanks: Option<Blanks>,
    watch: Option<Watch>,
    /// The messageIds that rows have in a column.
    ids: RowIds,
    /// The next row's number.
    next: u64,
}

debug_fields!(CsvRows { name, next });

/// All that a plan with found types is made of.
struct FoundFrom {
    header: Record,
    kind: FileType,
    options: CsvOptions,
    ids: MessageIds,
    /// The dialect, if blanks are doubtful.
    dialect: Option<Dialect>,
    /// The types of all readers of the file.
    types: Arc<Mutex<FoundTypes>>,
}

/// An opened text, with what a person should know about it.
#[derive(Debug)]
pub struct OpenedCsv {
    /// The rows of the text.
    pub rows: CsvRows,
    /// What is imported otherwise than the header may suggest.
    pub warnings: Vec<Told>,
    /// What was decided about the file, though nothing is wrong.
    pub note: Option<Told>,
    /// The delimiter, as named or found.
    pub delimiter: u8,
    /// The names of the columns, as named or found.
    pub columns: Vec<String>,
    /// The options, with all that was found of the text but the names of its columns.
    pub options: CsvOptions,
}

impl CsvRows {
    /// Reads the beginning of a text: finds the delimiter and compiles the header. `place` is where the file
    /// is, for rows that are known by their content: it is the same for all versions of a file.
    /// Errors: [`FileError`]: the text cannot be read, or its header or options cannot be used.
    pub fn open(
        name: &str,
        (file, kind, place): (FileId, FileType, &str),
        mut text: Text,
        options: &CsvOptions,
    ) -> Result<OpenedCsv, FileError> {
        let lines = match options.delimiter {
            // Types are found from as many rows as a sample may have.
            _ if options.infers() => usize::MAX,
            None => SAMPLE_LINES,
            Some(_) => 0,
        };
        let (sample, at_end) = sample_of(&mut text, lines).map_err(|error| of_io(&error))?;
        let no_text = no_text(&sample);
        Self::after_sample(name, (file, kind, place), (sample, at_end), text, options).map_err(|error| {
            // A file that is no text has no header, so that is the error to report.
            let of_header = error.code.starts_with("E-CSV");
            no_text.filter(|_| of_header).map_or(error, |why| FileError::content("E-CSV-HEADER", why))
        })
    }

    fn after_sample(
        name: &str,
        (file, kind, place): (FileId, FileType, &str),
        (sample, at_end): (Vec<u8>, bool),
        text: Text,
        options: &CsvOptions,
    ) -> Result<OpenedCsv, FileError> {
        let mut warnings = Vec::new();
        let encoding = text.encoding();
        if is_not_utf8(&sample, at_end) && encoding != encoding_rs::UTF_8 {
            let what = format!("rows with bytes that are wrong in {} are rejected", encoding.name());
            warnings.push(Told::plain(what));
        } else if is_not_utf8(&sample, at_end) {
            let hint = match suggest_encoding(&sample) {
                Some(encoding) => format!("it may be {encoding} (pass --encoding {encoding})"),
                None => "pass its encoding, such as --encoding windows-1252".to_owned(),
            };
            let what = format!("the text is not UTF-8, so rows with such bytes are rejected; {hint}");
            warnings.push(Told::plain(what));
        }
        let ids = options.message_ids(&kind, file, place);
        let how = HowWritten::of((&sample, at_end), (&kind, &ids), options)?;
        let HowWritten { options, dialect, line_end, has_sep_line, note } = how;
        let delimiter = dialect.delimiter;
        let width = options.columns.as_ref().map(Vec::len);
        let input = Cursor::new(sample).chain(text);
        let mut records = Records::new(input, dialect.clone()).with_lines(line_end, width);
        if has_sep_line {
            records.pass_first_line().map_err(|error| of_io(&error))?;
        }
        let mut header = Record::default();
        match &options.columns {
            Some(columns) => header = Record::of_fields(columns),
            None => match records.read_header(&mut header).map_err(|error| of_io(&error))? {
                Some(Item::Record) => {}
                Some(Item::Broken(error)) => {
                    return Err(no_row(error.to_string(), error.code()));
                }
                None => {
                    return Err(FileError::content("E-CSV-HEADER", "the file is empty: it has no header"));
                }
            },
        }
        if let Some(error @ RowError::LineBreak(_)) = &header.doubt {
            return Err(no_row(format!("the header is no row: {error}"), error.code()));
        }
        let has_doubtful_blanks = !options.keeps_blanks && !options.skips_blanks;
        if has_doubtful_blanks {
            check_blanks(&header)?;
        }
        let (plan, more) = Plan::compile(&header, &kind, &options, &ids)?;
        warnings.extend(more);
        let doubtful = has_doubtful_blanks.then_some(dialect);
        let blanks = doubtful.clone().map(|dialect| Blanks::of(&header, &plan, dialect));
        let columns = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let found_from = options.found.clone().map(|found| {
            let (options, types) = (options.clone(), Arc::new(Mutex::new(found)));
            Box::new(FoundFrom { header, kind, options, ids, dialect: doubtful, types })
        });
        let rows = Self {
            name: name.to_owned(),
            found_from,
            records,
            record: Record::default(),
            plan,
            blanks,
            watch: None,
            ids: RowIds::new(std::env::temp_dir()),
            next: 0,
        };
        Ok(OpenedCsv { rows, warnings, note, delimiter, columns, options })
    }

    /// Shares the types that were found with other readers of the file: what one of them uses instead, all that
    /// are opened later use, too.
    #[must_use]
    pub fn with_types(mut self, types: &Arc<Mutex<FoundTypes>>) -> Self {
        if let Some(from) = &mut self.found_from {
            from.types = Arc::clone(types);
        }
        self
    }

    /// Looks from now on for cells that may mean something else: see [`Self::doubts`].
    pub fn watch(&mut self) {
        self.watch = Some(Watch::of(&self.plan));
    }

    /// What a person should look at before the rows are stored, if [`Self::watch`] was called.
    pub fn doubts(&self) -> Vec<String> {
        let Some(watch) = &self.watch else { return Vec::new() };
        let beside = beside_traits::doubt(&self.plan.beside_traits());
        beside.into_iter().chain(watch.doubts(&self.plan.names)).collect()
    }

    /// Keeps the ids of rows in this folder, if they are too many for memory.
    #[must_use]
    pub fn with_ids_in(self, folder: PathBuf) -> Self {
        Self { ids: RowIds::new(folder), ..self }
    }

    /// Compares the id of the row that was read last with earlier ids. Rows that are rejected for another
    /// reason count, too: once they are corrected, they are calls.
    fn meet(&mut self) -> Result<Met, FileError> {
        match self.plan.given_id(&self.record) {
            Some(id) => self.ids.meet_row(id, &self.record),
            None => Ok(Met::New),
        }
    }

    fn reject(&self, error: &RowError) -> Reject {
        let (raw, raw_base64) = Reject::raw_of(&self.record.raw);
        Reject {
            file: self.name.clone(),
            row: self.next,
            line: self.record.line,
            byte: self.record.byte,
            code: error.code().to_owned(),
            message: error.to_string(),
            raw,
            raw_base64,
            content: Some(RowHash::of_content(&self.record.raw).to_string()),
            id_taken: None,
            retried: None,
        }
    }
}

impl RowReader for CsvRows {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
        let read = self.records.read(&mut self.record).map_err(|error| of_io(&error))?;
        let start = out.len();
        let met = match read {
            Some(Item::Record) => {
                self.plan.prepare(&mut self.record);
                self.meet()?
            }
            Some(Item::Broken(_)) | None => Met::New,
        };
        let written = match read {
            None => return Ok(None),
            Some(Item::Record) => {
                let written = self.plan.write(&self.record, out);
                written
                    .and_then(|()| self.blanks.as_ref().map_or(Ok(()), |blanks| blanks.check(&self.record)))
            }
            Some(Item::Broken(error)) => Err(error),
        };
        if let Some(watch) = &mut self.watch
            && self.plan.is_row(&self.record)
        {
            watch.look(&self.record, written.is_ok());
        }
        let row = match (written, met) {
            (Ok(()), Met::New) => Row::Call(self.plan.row_hash(&self.record)),
            (Ok(()), Met::Same) => Row::Repeat,
            (Ok(()), Met::Other) => {
                let id = self.plan.given_id(&self.record).map(|id| RowHash::of_content(id).to_string());
                Row::Rejected(Reject { id_taken: id, ..self.reject(&self.plan.id_taken(&self.record)) })
            }
            (Err(error), _) => Row::Rejected(self.reject(&error)),
        };
        if !matches!(row, Row::Call(_)) {
            out.truncate(start);
        }
        self.next += 1;
        Ok(Some(row))
    }

    fn collection(&self) -> Option<&Collection> {
        self.plan.collection()
    }

    fn use_types(&mut self, found: &FoundTypes) -> Result<(), FileError> {
        let Some(from) = &mut self.found_from else { return Ok(()) };
        from.options.found = Some(found.clone());
        (self.plan, _) = Plan::compile(&from.header, &from.kind, &from.options, &from.ids)?;
        let blanks = |dialect| Blanks::of(&from.header, &self.plan, dialect);
        self.blanks = from.dialect.clone().map(blanks);
        *lock(&from.types) = found.clone();
        Ok(())
    }

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            match self.records.read(&mut self.record).map_err(|error| of_io(&error))? {
                None => return Ok(skipped),
                Some(Item::Record) => {
                    self.plan.prepare(&mut self.record);
                    self.meet().map(drop)?;
                }
                Some(Item::Broken(_)) => {}
            }
            self.next += 1;
        }
        Ok(rows)
    }

    fn pass_over(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            if self.records.read(&mut self.record).map_err(|error| of_io(&error))?.is_none() {
                return Ok(skipped);
            }
            self.next += 1;
        }
        Ok(rows)
    }

    fn prefix(&mut self) -> Option<Prefix> {
        self.records.text_so_far().map(|(bytes, text)| Prefix { rows: self.next, bytes, text })
    }

    fn is_cut_off(&self) -> bool {
        self.records.is_cut_off()
    }
}

/// The beginning of a text, with at least so many lines if the limit allows; and whether it is the whole
/// text.
pub(in crate::import) fn sample_of(text: &mut impl Read, lines: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut sample = Vec::with_capacity(SAMPLE_BYTES);
    let mut wanted = SAMPLE_BYTES;
    loop {
        text.take((wanted - sample.len()) as u64).read_to_end(&mut sample)?;
        let at_end = sample.len() < wanted;
        // Lines end in LF, CRLF or CR, so the more frequent byte counts.
        let breaks = |byte| memchr::memchr_iter(byte, &sample).count();
        if at_end || wanted >= SAMPLE_BYTES_MAX || breaks(b'\n').max(breaks(b'\r')) >= lines {
            return Ok((sample, at_end));
        }
        wanted *= 2;
    }
}

/// What a sample is instead of text. `None`: it is text.
fn no_text(sample: &[u8]) -> Option<Told> {
    let sample = sample.get(..BINARY_SAMPLE_BYTES).unwrap_or(sample);
    if let Some(format) = format_of(sample) {
        return Some(Told::plain(format!(
            "the file is {format}, which is not read: unpack or convert it to CSV"
        )));
    }
    memchr::memchr(0, sample)?;
    Some(match suggest_encoding(sample) {
        Some(encoding) => Told::plain(format!("the file looks like {encoding} (pass --encoding {encoding})")),
        None => "the file is binary, not CSV".into(),
    })
}

/// The error of a header that cannot be one row. What the row says is a value of the file.
fn no_row(full: String, code: &str) -> FileError {
    FileError::content("E-CSV-HEADER", Told::masked_as(full, format!("the header is no row ({code})")))
}

/// The format of a file that people mistake for CSV, by its first bytes.
pub(in crate::import) fn format_of(sample: &[u8]) -> Option<&'static str> {
    const FORMATS: [(&[u8], &str); 9] = [
        (b"BZh", "bzip2 (.bz2)"),
        (b"\xFD7zXZ\0", "xz (.xz)"),
        (b"7z\xBC\xAF\x27\x1C", "7-Zip (.7z)"),
        (b"Rar!\x1A\x07", "RAR (.rar)"),
        (b"\x04\x22\x4D\x18", "lz4 (.lz4)"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an old Excel workbook (.xls)"),
        (b"PAR1", "Parquet"),
        (b"Obj\x01", "Avro"),
        (b"%PDF-", "PDF"),
    ];
    FORMATS.into_iter().find(|(magic, _)| sample.starts_with(magic)).map(|(_, format)| format)
}

/// Whether a sample is not UTF-8. A character that is cut off by the sample's end is no error.
fn is_not_utf8(sample: &[u8], at_end: bool) -> bool {
    std::str::from_utf8(sample).is_err_and(|error| at_end || error.error_len().is_some())
}

/// The error of a source, or of a decoder between source and text.
pub fn of_io(error: &io::Error) -> FileError {
    if let Some(source) = typed::<ReadingError>(error) {
        return FileError::unread(source);
    }
    if typed::<ExpansionError>(error).is_some() {
        let text = error.to_string();
        return FileError::content("E-BOMB", Told::plain(text.strip_prefix("E-BOMB: ").unwrap_or(&text)));
    }
    if let Some(error) = typed::<DecompressError>(error) {
        return FileError::content("E-COMPRESSION", error.told());
    }
    if let Some(error) = typed::<ZipError>(error) {
        return FileError::content("E-COMPRESSION", error.told());
    }
    if typed::<NoCopy>(error).is_some() {
        return FileError::new(FileFault::Local, "E-READ", Told::private(error.to_string()));
    }
    FileError::of_io(error)
}

#[cfg(test)]
mod tests;
