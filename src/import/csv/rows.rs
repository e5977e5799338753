//! The rows of a CSV text as calls: puts text, records and plan together.

use std::io::{self, Cursor, Read};

use super::{
    Dialect, Empty, Item, MAX_FIELD, MessageIds, Plan, PlanOptions, Record, Records, RowError, Types,
    detect_delimiter,
};
use crate::call::{CallKind, Limits};
use crate::import::file_id::FileId;
use crate::import::reading::decompress::DecompressError;
use crate::import::reading::guard::ExpansionError;
use crate::import::reading::opened::Text;
use crate::import::reading::text::suggest_encoding;
use crate::import::reading::zip::ZipError;
use crate::import::reading::{SourceError, typed};
use crate::import::reject::Reject;
use crate::import::row_hash::RowScope;
use crate::import::rows::{FileError, FileFault, Row, RowReader};

/// Bytes of a text that are inspected before its rows are read.
const SAMPLE_BYTES: usize = 64 * 1_024;

/// Where the ids of calls come from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdFrom {
    /// The file and the row's number, unless a `messageId` column has one.
    #[default]
    Position,
    /// A column.
    Column(String),
    /// The row's content, within a file's name or everywhere.
    RowHash {
        /// Whether rows are compared with those of all files.
        everywhere: bool,
    },
}

/// How CSV texts become calls.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct CsvOptions {
    /// Between two fields; `None`: found out from the text.
    pub delimiter: Option<u8>,
    /// Around fields; `None`: quotes are plain text.
    pub quote: Option<u8>,
    /// Before a byte that has no meaning.
    pub escape: Option<u8>,
    /// The longest field, in bytes.
    pub max_field: usize,
    /// The names of the columns, if the text has no header.
    pub columns: Option<Vec<String>>,
    /// What cells become.
    pub types: Types,
    /// More columns whose cells are times.
    pub time_columns: Vec<String>,
    /// What empty cells become.
    pub empty: Empty,
    /// Whether numbered names are arrays.
    pub arrays: bool,
    /// Whether calls need all that the documented tables require.
    pub strict: bool,
    /// Where the ids of calls come from.
    pub id_from: IdFrom,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            quote: Some(b'"'),
            escape: None,
            max_field: MAX_FIELD,
            columns: None,
            types: Types::String,
            time_columns: Vec::new(),
            empty: Empty::Omit,
            arrays: false,
            strict: false,
            id_from: IdFrom::Position,
        }
    }
}

impl CsvOptions {
    /// How texts with this delimiter separate their fields.
    pub(super) fn dialect(&self, delimiter: u8) -> Dialect {
        Dialect { delimiter, quote: self.quote, escape: self.escape, max_field: self.max_field }
    }

    pub(super) fn plan(&self, kind: CallKind, file: FileId, place: &str) -> PlanOptions {
        PlanOptions {
            kind,
            types: self.types.clone(),
            time_columns: self.time_columns.clone(),
            empty: self.empty,
            arrays: self.arrays,
            strict: self.strict,
            message_id: match &self.id_from {
                IdFrom::Position => MessageIds::Position { prefix: format!("imp_{file}_") },
                IdFrom::Column(name) => MessageIds::Column(name.clone()),
                IdFrom::RowHash { everywhere: true } => MessageIds::RowHash(RowScope::of("")),
                IdFrom::RowHash { everywhere: false } => MessageIds::RowHash(RowScope::of(place)),
            },
            max_event: Limits::default().max_event,
        }
    }
}

type Input = io::Chain<Cursor<Vec<u8>>, Text>;

/// Reads a CSV text.
pub struct CsvRows {
    name: String,
    records: Records<Input>,
    record: Record,
    plan: Plan,
    /// The next row's number.
    next: u64,
}

impl std::fmt::Debug for CsvRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvRows").field("name", &self.name).field("next", &self.next).finish_non_exhaustive()
    }
}

/// A text that was opened, with what a person should know about it.
#[derive(Debug)]
pub struct OpenedCsv {
    /// Its rows.
    pub rows: CsvRows,
    /// What is imported otherwise than its header may suggest.
    pub warnings: Vec<String>,
    /// The delimiter, as given or found.
    pub delimiter: u8,
    /// The names of its columns, as given or found.
    pub columns: Vec<String>,
}

impl CsvRows {
    /// Reads the beginning of a text: finds its delimiter and compiles its header. `place` is where the file is, for
    /// rows that are known by their content: the same for all versions of a file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(
        name: &str,
        (file, kind, place): (FileId, CallKind, &str),
        mut text: Text,
        options: &CsvOptions,
    ) -> Result<OpenedCsv, FileError> {
        let mut sample = Vec::with_capacity(SAMPLE_BYTES);
        let is_read = (&mut text).take(SAMPLE_BYTES as u64).read_to_end(&mut sample);
        is_read.map_err(|error| of_io(&error))?;
        let at_end = sample.len() < SAMPLE_BYTES;
        let mut warnings = Vec::new();
        let encoding = text.encoding();
        if is_not_utf8(&sample, at_end) && encoding != encoding_rs::UTF_8 {
            warnings.push(format!("rows with bytes that are wrong in {} are rejected", encoding.name()));
        } else if is_not_utf8(&sample, at_end) {
            let hint = match suggest_encoding(&sample) {
                Some(encoding) => format!("it may be {encoding} (pass --encoding {encoding})"),
                None => "pass its encoding, such as --encoding windows-1252".to_owned(),
            };
            warnings.push(format!("the text is not UTF-8, so rows with such bytes are rejected; {hint}"));
        }
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None => detect_delimiter(&sample, at_end, options.quote, options.escape)
                .map_err(|error| coded(&error))?,
        };
        let mut records = Records::new(Cursor::new(sample).chain(text), options.dialect(delimiter));
        let mut header = Record::new();
        match &options.columns {
            Some(columns) => header = Record::of_fields(columns),
            None => match records.read_header(&mut header).map_err(|error| of_io(&error))? {
                Some(Item::Record) => {}
                Some(Item::Broken(error)) => {
                    return Err(FileError::content("E-CSV-HEADER", error.to_string()));
                }
                None => {
                    return Err(FileError::content("E-CSV-HEADER", "the file is empty: it has no header"));
                }
            },
        }
        let (plan, more) =
            Plan::compile(&header, options.plan(kind, file, place)).map_err(|error| coded(&error))?;
        warnings.extend(more.iter().map(ToString::to_string));
        let columns = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let rows = Self { name: name.to_owned(), records, record: Record::new(), plan, next: 0 };
        Ok(OpenedCsv { rows, warnings, delimiter, columns })
    }

    fn reject(&self, error: &RowError) -> Reject {
        Reject {
            file: self.name.clone(),
            row: self.next,
            line: self.record.line(),
            byte: self.record.byte(),
            code: error.code().to_owned(),
            message: error.to_string(),
            raw: Reject::raw_of(self.record.raw()),
        }
    }
}

impl RowReader for CsvRows {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
        let read = self.records.read(&mut self.record).map_err(|error| of_io(&error))?;
        let written = match read {
            None => return Ok(None),
            Some(Item::Record) => self.plan.write(&self.record, out),
            Some(Item::Broken(error)) => Err(error),
        };
        let row = match written {
            Ok(()) => Row::Call(self.plan.row_hash(&self.record)),
            Err(error) => Row::Rejected(self.reject(&error)),
        };
        self.next += 1;
        Ok(Some(row))
    }

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            if self.records.read(&mut self.record).map_err(|error| of_io(&error))?.is_none() {
                return Ok(skipped);
            }
            self.next += 1;
        }
        Ok(rows)
    }
}

/// Whether a sample is not UTF-8. A character that the sample's end cuts off is no error.
fn is_not_utf8(sample: &[u8], at_end: bool) -> bool {
    std::str::from_utf8(sample).is_err_and(|error| at_end || error.error_len().is_some())
}

/// An error whose text begins with its code.
fn coded(error: &dyn std::fmt::Display) -> FileError {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((code, message)) if code.starts_with("E-") => FileError::content(code, message),
        _ => FileError::content("E-CSV", text),
    }
}

/// The error of a source or a decoder below the text.
pub fn of_io(error: &io::Error) -> FileError {
    if let Some(source) = typed::<SourceError>(error) {
        let (fault, code) = match source {
            SourceError::Changed => (FileFault::Changed, "E-CHANGED"),
            SourceError::Missing => (FileFault::Missing, "E-MISSING"),
            SourceError::Denied(_) => (FileFault::Denied, "E-DENIED"),
            SourceError::Refused(_) => (FileFault::Denied, "E-REFUSED"),
            SourceError::Unreachable { .. } => (FileFault::Transient, "E-UNREACHABLE"),
        };
        return FileError::new(fault, code, source.to_string());
    }
    if typed::<ExpansionError>(error).is_some() {
        return coded(error);
    }
    if typed::<DecompressError>(error).is_some() || typed::<ZipError>(error).is_some() {
        return FileError::content("E-COMPRESSION", error.to_string());
    }
    FileError::of_io(error)
}
