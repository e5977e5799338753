//! The rows of a CSV text as calls: text, records and plan together.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use super::blanks::{Blanks, check_blanks};
use super::delimiter::detect_delimiter;
use super::watch::Watch;
use super::{CsvOptions, FileType, Item, Plan, Record, Records, RowError, find_line_end};
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

/// An opened text, with what a person should know about it.
#[derive(Debug)]
pub struct OpenedCsv {
    /// The rows of the text.
    pub rows: CsvRows,
    /// What is imported otherwise than the header may suggest.
    pub warnings: Vec<Told>,
    /// The delimiter, as named or found.
    pub delimiter: u8,
    /// The names of the columns, as named or found.
    pub columns: Vec<String>,
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
        let lines = if options.delimiter.is_none() { SAMPLE_LINES } else { 0 };
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
        let delimiter = match options.delimiter {
            Some(delimiter) => delimiter,
            None => detect_delimiter(&sample, at_end, options.quote, options.escape)?,
        };
        let dialect = options.dialect(delimiter);
        let width = options.columns.as_ref().map(Vec::len);
        let line_end = find_line_end::detect(&sample, at_end, &dialect, width);
        let mut records = Records::new(Cursor::new(sample).chain(text), dialect).with_lines(line_end, width);
        let mut header = Record::default();
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
        if let Some(error @ RowError::LineBreak(_)) = &header.doubt {
            return Err(FileError::content("E-CSV-HEADER", format!("the header is no row: {error}")));
        }
        if !options.keeps_blanks {
            check_blanks(&header)?;
        }
        let ids = options.message_ids(&kind, file, place);
        let (plan, more) = Plan::compile(&header, &kind, options, &ids)?;
        warnings.extend(more);
        let blanks = (!options.keeps_blanks).then(|| Blanks::of(&header, &plan, options.dialect(delimiter)));
        let columns = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let rows = Self {
            name: name.to_owned(),
            records,
            record: Record::default(),
            plan,
            blanks,
            watch: None,
            ids: RowIds::new(std::env::temp_dir()),
            next: 0,
        };
        Ok(OpenedCsv { rows, warnings, delimiter, columns })
    }

    /// Looks from now on for cells that may mean something else: see [`Self::doubts`].
    pub fn watch(&mut self) {
        self.watch = Some(Watch::new(self.plan.names.len(), &self.plan.inferred(), &self.plan.texts()));
    }

    /// What a person should look at before the rows are stored, if [`Self::watch`] was called.
    pub fn doubts(&self) -> Vec<String> {
        self.watch.as_ref().map(|watch| watch.doubts(&self.plan.names)).unwrap_or_default()
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
        let (start, met) =
            (out.len(), if matches!(read, Some(Item::Record)) { self.meet()? } else { Met::New });
        let written = match read {
            None => return Ok(None),
            Some(Item::Record) => {
                let written = self.plan.write(&self.record, out);
                written
                    .and_then(|()| self.blanks.as_ref().map_or(Ok(()), |blanks| blanks.check(&self.record)))
            }
            Some(Item::Broken(error)) => Err(error),
        };
        if written.is_ok()
            && let Some(watch) = &mut self.watch
        {
            watch.look(&self.record);
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

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            match self.records.read(&mut self.record).map_err(|error| of_io(&error))? {
                None => return Ok(skipped),
                Some(Item::Record) => self.meet().map(drop)?,
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
        return FileError::content("E-BOMB", text.strip_prefix("E-BOMB: ").unwrap_or(&text).to_owned());
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
mod tests {
    use super::super::super::reading::Limits;
    use super::super::super::reading::opened::{Opened, Options, open_stream};
    use super::*;
    use crate::call::CallKind;

    #[test]
    fn a_copy_that_cannot_be_made_is_no_fault_of_the_file() {
        use super::super::super::reading::temporary::Copied;
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = of_io(&Copied::to_folder(&mut io::empty(), &file.path().join("folder")).unwrap_err());
        assert_eq!((error.fault, error.code.as_str()), (FileFault::Local, "E-READ"));
        assert!(error.to_string().contains("cannot make the folder"), "{error}");
    }

    #[test]
    fn a_broken_compressed_file_says_so_where_private_values_are_hidden() {
        use super::super::super::reading::compression::Compression::{Gzip, Zstd};
        let masked = |error: DecompressError| of_io(&error.into()).masked();
        assert_eq!(
            masked(DecompressError::Truncated(Gzip)),
            "E-COMPRESSION: the gzip file is cut off: it was not written or copied to its end"
        );
        let of_zip = |error: ZipError| of_io(&error.into()).masked();
        assert_eq!(
            of_zip(ZipError::Encrypted("jane.csv".to_owned())),
            "E-COMPRESSION: the entry \"[hidden]\" is encrypted; decrypt the zip file first"
        );
        assert_eq!(
            of_zip(ZipError::Nested),
            "E-COMPRESSION: a zip file within a zip file is not read; unpack the outer one"
        );
        let damaged = masked(DecompressError::Corrupt(Zstd, "said elsewhere".to_owned()));
        assert_eq!(damaged, "E-COMPRESSION: the zstd file is damaged: write or copy it again");
    }

    fn opened(text: impl Into<Vec<u8>>) -> Result<OpenedCsv, FileError> {
        opened_as(text, FileType::Calls(CallKind::Track), &CsvOptions::default())
    }

    fn opened_as(
        text: impl Into<Vec<u8>>,
        kind: FileType,
        options: &CsvOptions,
    ) -> Result<OpenedCsv, FileError> {
        let text: Vec<u8> = text.into();
        let reading = Options { encoding: None, limits: Limits::default(), temporary: std::env::temp_dir() };
        let opened = open_stream(Cursor::new(text), "track_1.csv", None, &reading).unwrap();
        let Opened::Text(text) = opened else { panic!("an archive") };
        let id = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        CsvRows::open("track_1.csv", (id, kind, "track_1.csv"), text, options)
    }

    /// What becomes of each row: the code of one that is rejected.
    fn codes(mut rows: CsvRows) -> Vec<String> {
        let mut codes = Vec::new();
        while let Some(row) = rows.next(&mut Vec::new()).unwrap() {
            codes.push(match row {
                Row::Rejected(reject) => reject.code,
                _ => String::new(),
            });
        }
        codes
    }

    #[test]
    fn a_line_break_that_may_stand_in_a_cell_rejects_both_parts() {
        let check = |columns: Option<&str>, text: &str, expected: &[&str]| {
            let columns = columns.map(|names| names.split(',').map(str::to_owned).collect());
            let options = CsvOptions { columns, ..CsvOptions::default() };
            let opened = opened_as(text, FileType::Calls(CallKind::Track), &options).unwrap();
            assert_eq!(codes(opened.rows), expected, "{text:?}");
        };
        let names = Some("userId,event,x");
        let cut = "line-break";
        check(names, "u1,e,a\rb\nu2,e,c\n", &[cut, cut, ""]);
        check(names, "u1,e,a\nb\r\nu2,e,c\r\n", &[cut, cut, ""]);
        check(names, "u1,e,a\nb\r\n", &[cut, cut]);
        check(None, "userId,event,x\r\nu1,e,a\nb\r\nu2,e,c\r\n", &[cut, cut, ""]);
        check(None, "userId,event,x\r\nu1,e,a\n\nb\nc\r\nu2,e,c\r\n", &[cut, cut, cut, ""]);
        check(None, "userId,event,x\ru1,e,a\nb\ru2,e,c\r", &[cut, cut, ""]);
        check(None, "userId,x,event\nu1,a\r\nb,e\nu2,c,e\n", &[cut, cut, ""]);
        // A row far behind those that the delimiter and the line break are found from.
        let rows = "u,e,x\r\n".repeat(20_000);
        let text = format!("userId,event,x\r\n{rows}u1,e,a\nb\r\n");
        let found = codes(opened(text).unwrap().rows);
        assert_eq!(found.iter().position(|code| !code.is_empty()), Some(20_000));
        assert_eq!(found.get(20_000..), Some(&[cut.to_owned(), cut.to_owned()][..]));
        let error = opened("userId,event,a\nb\r\nu1,e,c\r\n").map(|_| ()).unwrap_err();
        assert_eq!(error.code, "E-CSV-HEADER", "{error}");
    }

    #[test]
    fn lines_may_end_in_several_ways() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(codes(opened(text).unwrap().rows), expected, "{text:?}");
        };
        check("userId,event\nu1,e\nu2,e\nu1,e\r\nu2,e\r\n", &[""; 4]);
        check("userId,event\r\nu1,e\nu2,e\nu3,e", &[""; 3]);
        check("userId,event\ru1,e\ru2,e\nu3,e\n", &[""; 3]);
        check("userId,event\r\nu1,e\r\n\nu2,e\r\n\n", &[""; 2]);
        // Rows of a wrong width whose ends are those of the lines, or that nothing follows.
        check("userId,event\r\nu1,e\nu2,e\r\nu3\r\nu4,e\r\n", &["", "", "width", ""]);
        check("userId,event\r\nu1,e\r\nu2", &["", "width"]);
        check("userId,event\r\nu1,e\r\nu2\n\n", &["", "width"]);
        check("userId,event\ru1,e\ru2\r", &["", "width"]);
    }

    #[test]
    fn the_delimiter_of_a_long_header_is_found() {
        for delimiter in [',', ';', '\t', '|'] {
            for (columns, name) in [(10_000, 40), (2_000, 30)] {
                let wide = |cell: &dyn Fn(usize) -> String| {
                    let cells: Vec<String> = (2..columns).map(cell).collect();
                    cells.join(&delimiter.to_string())
                };
                let header = wide(&|column| format!("properties.{}{column}", "x".repeat(name)));
                let row = wide(&|column| column.to_string());
                let text =
                    format!("userId{delimiter}event{delimiter}{header}\nu{delimiter}e{delimiter}{row}\n");
                let mut opened = opened(text).unwrap();
                assert_eq!((char::from(opened.delimiter), opened.columns.len()), (delimiter, columns));
                let row = opened.rows.next(&mut Vec::new()).unwrap();
                // The call may be too long, but the row has all of its cells.
                assert!(!matches!(row, Some(Row::Rejected(reject)) if reject.code == "width"));
            }
        }
    }

    #[test]
    fn a_sample_is_bounded() {
        let len = |line: &str, lines| sample_of(&mut line.repeat(8 << 20).as_bytes(), lines).unwrap().0.len();
        assert_eq!(len("x", SAMPLE_LINES), SAMPLE_BYTES_MAX);
        assert_eq!(len("x", 0), SAMPLE_BYTES);
        assert_eq!(len("\r", SAMPLE_LINES), SAMPLE_BYTES);
        let (sample, at_end) = sample_of(&mut &b"a\n"[..], SAMPLE_LINES).unwrap();
        assert_eq!((sample.as_slice(), at_end), (&b"a\n"[..], true));
    }

    /// In a file without a header, the cells of its first row stand where the names of columns are.
    #[test]
    fn masked_errors_of_files_have_nothing_of_the_file() {
        const SECRET: &str = "jane.roe";
        let check = |text: String, code: &str| {
            let mut opened = match opened(text.as_str()) {
                Ok(opened) => opened,
                Err(error) => {
                    assert!(error.code.starts_with(code), "{text:?}: {error}");
                    assert!(!error.masked().contains(SECRET), "{text:?}: {}", error.masked());
                    return error.to_string().contains(SECRET);
                }
            };
            let read = opened.rows.next(&mut Vec::new());
            panic!("{text:?} is read: {read:?}");
        };
        let cell = "x".repeat(300);
        assert!(check(format!("{SECRET}@example.com,{SECRET},1\n"), "E-CSV-MISSING"));
        assert!(check(format!("userId,event,{SECRET},{SECRET}\nu,e,1,2\n"), "E-CSV-DUPCOL"));
        assert!(check(
            format!("userId,event,properties.{SECRET},properties.{SECRET}.a\nu,e,1,2\n"),
            "E-CSV-CONFLICT"
        ));
        check(format!("userId,event,{SECRET}{}\nu,e,1\n", format!(".{cell}").repeat(40)), "E-CSV-HEADER");
        check(format!("userId,\"{SECRET}\n"), "E-CSV");
        check(format!("{SECRET}\0{SECRET}\n"), "E-CSV-HEADER");
    }

    #[test]
    fn blanks_after_delimiters_are_not_kept_unasked() {
        let error = opened("userId, event\nu, e\n").map(|_| ()).unwrap_err();
        assert_eq!(error.code, "E-CSV-DELIMITER");
        assert!(opened("userId,event, x\nu,e,1\n").is_ok());
    }

    #[test]
    fn a_row_whose_blanks_may_be_those_of_delimiters_is_rejected() {
        let of = |kind, text: &str| codes(opened_as(text, kind, &CsvOptions::default()).unwrap().rows);
        let track = |text: &str| of(FileType::Calls(CallKind::Track), text);
        let identify = |text: &str| of(FileType::Calls(CallKind::Identify), text);
        let blank = "blank";
        assert_eq!(track("userId,event,x\nu1,e,y\nu2, e, y\nu3, e,y\n u4,e,y\n"), ["", blank, blank, blank]);
        assert_eq!(track("userId, event,x\nu1, e,y\nu1,e,y\n"), [blank, ""]);
        assert_eq!(track("userId,event, x\nu1,e, y\nu1,e,y\n"), [blank, ""]);
        assert_eq!(
            identify("userId,x,y\nu1, a, b\nu2, a,b\nu3, a,\nu4,, b\nu5,a, b\n"),
            [blank, "", "", "", ""]
        );
        assert_eq!(identify("userId,messageId,x\nu1, ,y\nu2, m,y\n"), ["", blank]);
        // Quotes say that the blank belongs to the cell; of times and numbers it is no part.
        assert_eq!(track("userId,event,x\nu1,\" e\",y\nu2,\" e\",\" y\"\n"), ["", ""]);
        assert_eq!(track("userId,event, timestamp\nu1,e, 2019-05-11\n"), [""]);
        let text = "userId,event,x\nu2, e, y\n";
        let keeps = CsvOptions { delimiter: Some(b','), keeps_blanks: true, ..CsvOptions::default() };
        let mut rows = opened_as(text, FileType::Calls(CallKind::Track), &keeps).unwrap().rows;
        rows.watch();
        assert!(matches!(rows.next(&mut Vec::new()), Ok(Some(Row::Call(_)))));
        assert_eq!(rows.doubts(), ["a blank follows each delimiter and would stay in the cells"]);
        let error = match opened(text).unwrap().rows.next(&mut Vec::new()) {
            Ok(Some(Row::Rejected(reject))) => reject.message,
            other => panic!("{other:?}"),
        };
        assert!(error.contains("column event begins with a blank: \" e\" ("), "{error}");
    }

    #[test]
    fn a_binary_file_is_called_so() {
        let check = |bytes: &[u8], why: &str| {
            let error = opened(bytes).map(|_| ()).unwrap_err();
            assert_eq!((&*error.code, error.message.full()), ("E-CSV-HEADER", why), "{bytes:?}");
        };
        let binary = "the file is binary, not CSV";
        check(
            b"BZh91AY&SY\x01\0",
            "the file is bzip2 (.bz2), which is not read: unpack or convert it to CSV",
        );
        check(b"\xFD7zXZ\0\0\x04", "the file is xz (.xz), which is not read: unpack or convert it to CSV");
        check(b"\x7FELF\x02\x01\x01\0\0\0,\0;\0\0\xEB\x90\0\0", binary);
        check(b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\x0F\xA0;;,\n;|\n", binary);
        let utf16: Vec<u8> = "userId;event\nu;e\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&utf16, "the file looks like utf-16le (pass --encoding utf-16le)");
        // A byte of zero in a cell does not make a file binary.
        assert!(opened("userId,event\nu,\0\n").is_ok());
    }
}
