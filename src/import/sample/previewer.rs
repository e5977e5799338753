//! Converts the first rows of files, and counts what becomes of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::task::JoinError;

use super::field_counts::FieldCounts;
use super::found::{Opening, SampleFile, SampleFiles};
use super::json_text::{names_among, timestamp_of};
use super::limits::ROWS_MAX;
use super::preview::{
    InsertIds, LargestCall, Preview, PreviewedFile, RejectsByCode, SampleReject, SampleRow,
};
use super::source_rows::{Cells, SourceRow, SourceRows};
use crate::convert::{
    Calls, Compression, Converter, DataType, Outcome, Row, RowFields, RowPlace, RowReject, Strategy, Unread,
    sequence_prefix,
};
use crate::import::column_names::{ColumnNames, names_of};
use crate::import::file_error::FileError;
use crate::time::UnixMillis;
use crate::words::{counted, first_few, outside_text, outside_text_within};

/// What messageIds of rows without an id of their own begin with here. An import has its own id in this
/// place.
const ID_PREFIX: &str = "imp_preview_";
/// The most bytes of a row without JSON that are shown.
const RAW_SHOWN: usize = 1_024;
/// The most columns that a warning names.
const NAMES_SHOWN: usize = 10;
/// Fields that become properties of the event under the same names.
const SALE: [&str; 6] = ["price", "quantity", "revenue", "productId", "revenueType", "currency"];

/// Converts rows, and counts what becomes of them.
#[derive(Debug)]
pub struct Previewer {
    converter: Arc<Converter>,
    now: UnixMillis,
    /// Samples that are still wanted, of all files and of the present one.
    wanted: usize,
    wanted_of_file: usize,
    preview: Preview,
    fields: Vec<FieldCounts>,
    columns: ColumnNames,
    by_code: BTreeMap<&'static str, RejectsByCode>,
    ids: HashSet<u128>,
    insert_ids: InsertIds,
    /// Rows whose numbers lost a fraction, and rows that have a property twice.
    fractions: u64,
    twice: BTreeMap<&'static str, u64>,
    /// Values that an operator could not read, and the first of them.
    unread: BTreeMap<&'static str, (u64, String)>,
    calls: Calls,
}

/// Previews files. Errors: [`JoinError`]: the task panicked.
pub async fn preview_files(
    files: SampleFiles,
    converter: Arc<Converter>,
    opening: Opening,
    samples: usize,
    now: UnixMillis,
) -> Result<Preview, JoinError> {
    tokio::task::spawn_blocking(move || all(files, converter, &opening, samples, now)).await
}

fn all(
    files: SampleFiles,
    converter: Arc<Converter>,
    opening: &Opening,
    samples: usize,
    now: UnixMillis,
) -> Preview {
    let mut previewer = Previewer::new(converter, samples, now);
    let count = files.found.len();
    for (index, file) in files.found.into_iter().enumerate() {
        match file {
            Ok(file) => previewer.file(&file, opening, count - index),
            Err((name, error)) => {
                previewer.failed(PreviewedFile { name, ..PreviewedFile::default() }, &error)
            }
        }
    }
    let warning = files.keys.warning(previewer.converter.file().pattern.as_ref());
    previewer.preview.warnings.extend(warning);
    previewer.finish(files.left)
}

impl Previewer {
    /// A preview with so many samples. `now` is for operators that ask for the time.
    pub fn new(converter: Arc<Converter>, samples: usize, now: UnixMillis) -> Self {
        let all = Row::new(converter.columns());
        let fields = converter.fields_of(&all, now).values;
        let fields = fields.into_iter().map(|(name, _)| FieldCounts::new(name)).collect();
        Self {
            converter,
            now,
            wanted: samples,
            wanted_of_file: 0,
            preview: Preview::default(),
            fields,
            columns: ColumnNames::default(),
            by_code: BTreeMap::new(),
            ids: HashSet::new(),
            insert_ids: InsertIds::default(),
            fractions: 0,
            twice: BTreeMap::new(),
            unread: BTreeMap::new(),
            calls: Calls::default(),
        }
    }

    /// Converts the first rows of a file. The samples that are still wanted are shared by so many files, this
    /// one included. Blocks.
    pub fn file(&mut self, file: &SampleFile, opening: &Opening, files: usize) {
        self.wanted_of_file = self.wanted.div_ceil(files.max(1));
        let compression = file.compression();
        let mut about = PreviewedFile { name: file.name.clone(), compression, ..PreviewedFile::default() };
        self.warn_about(file, compression);
        let settings = self.converter.file().clone();
        let opened = file.file_as(settings.format, settings.csv.encoding, opening).and_then(|input| {
            SourceRows::open(input, settings.format, &settings.csv, self.converter.columns())
        });
        let read = opened.and_then(|mut rows| {
            rows.schema().for_each(|name| self.columns.add(name));
            let read = self.rows(&mut rows, file, &mut about);
            let name = outside_text(&file.name);
            let warnings = rows.warnings().into_iter().map(|warning| format!("{name}: {warning}"));
            self.preview.warnings.extend(warnings);
            read
        });
        match read {
            Ok(()) => self.preview.files.push(about),
            Err(error) => self.failed(about, &error),
        }
    }

    /// Adds a file that cannot be read.
    pub fn failed(&mut self, about: PreviewedFile, error: &FileError) {
        self.preview.files.push(PreviewedFile {
            error: Some(error.to_string()),
            fault: Some(error.fault),
            ..about
        });
    }

    fn warn_about(&mut self, file: &SampleFile, compression: &str) {
        let name = outside_text(&file.name);
        let settings = self.converter.file();
        let claimed = settings.compression;
        if claimed != Compression::Auto && claimed.name() != compression {
            let claimed = claimed.name();
            let what = format!(
                "{name} has compression {compression}, and compressionType is {claimed}: the content decides"
            );
            self.preview.warnings.push(what);
        }
        if let (Some(pattern), Some(key)) = (&settings.pattern, &file.key) {
            // The prefix of the import is not known: any folder may be it.
            let prefixes = key.match_indices('/').filter_map(|(at, _)| key.get(..=at));
            let matches = std::iter::once("").chain(prefixes).any(|prefix| pattern.matches(key, prefix));
            if !matches {
                let what = format!("{name} does not match filterPattern: an import would leave it out");
                self.preview.warnings.push(what);
            }
        }
    }

    fn rows(
        &mut self,
        rows: &mut SourceRows,
        file: &SampleFile,
        about: &mut PreviewedFile,
    ) -> Result<(), FileError> {
        let converter = Arc::clone(&self.converter);
        let prefix = sequence_prefix(0, file.key.as_deref().unwrap_or(&file.name));
        while about.rows < ROWS_MAX {
            let looked =
                rows.next(converter.columns(), |row, values| self.row(row, values, &prefix, about))?;
            if looked.is_none() {
                return Ok(());
            }
            about.rows += 1;
        }
        about.has_more = rows.next(converter.columns(), |_, _| ())?.is_some();
        Ok(())
    }

    fn row(
        &mut self,
        row: SourceRow<'_>,
        values: Result<&Row<'_>, RowReject>,
        prefix: &str,
        about: &mut PreviewedFile,
    ) {
        self.preview.rows += 1;
        self.add_columns(row.cells);
        self.calls.clear();
        let outcome = match values {
            Ok(values) => {
                let place = RowPlace { id_prefix: ID_PREFIX, sequence_prefix: prefix, row: row.number };
                let outcome = self.converter.convert(values, &place, self.now, &mut self.calls);
                if outcome != Outcome::Skipped {
                    self.add_fields(values);
                }
                outcome
            }
            Err(reject) => Outcome::Rejected(reject),
        };
        match &outcome {
            Outcome::Skipped => self.preview.skipped += 1,
            Outcome::Rejected(reject) => self.add_reject(reject, &row, &about.name),
            Outcome::Calls { count, key } => {
                self.preview.calls += *count as u64;
                self.add_id(*key);
                self.add_calls(row.number, about);
            }
        }
        if self.wanted_of_file > 0 {
            self.wanted_of_file -= 1;
            self.wanted = self.wanted.saturating_sub(1);
            let sample = self.sample(&row, &outcome, &about.name);
            self.preview.samples.push(sample);
        }
    }

    fn add_columns(&mut self, cells: Cells<'_>) {
        match cells {
            Cells::Line(text) => names_of(text).iter().for_each(|name| self.columns.add(name)),
            Cells::Record(table) => table.names.iter().for_each(|name| self.columns.add(name)),
            Cells::Nothing => {}
        }
    }

    fn add_fields(&mut self, values: &Row<'_>) {
        let RowFields { values: fields, has_dropped_fractions, unread } =
            self.converter.fields_of(values, self.now);
        self.fractions += u64::from(has_dropped_fractions);
        for Unread { operator, value } in unread {
            self.unread.entry(operator.name()).or_insert((0, value)).0 += 1;
        }
        for (counts, (_, json)) in self.fields.iter_mut().zip(&fields) {
            counts.add(json.as_deref());
        }
        let value = |name: &str| {
            fields.iter().find(|(field, _)| *field == name).and_then(|(_, json)| json.as_deref())
        };
        if self.converter.data_type() == DataType::Event
            && let Some(properties) = value("event_properties")
            && SALE.iter().any(|name| value(name).is_some())
        {
            for name in names_among(properties, &SALE).into_iter().filter(|name| value(name).is_some()) {
                *self.twice.entry(name).or_default() += 1;
            }
        }
    }

    fn add_reject(&mut self, reject: &RowReject, row: &SourceRow<'_>, file: &str) {
        self.preview.rejected += 1;
        let first = || RejectsByCode {
            code: reject.code.to_owned(),
            rows: 0,
            file: file.to_owned(),
            line: row.line,
            message: reject.message.clone(),
        };
        self.by_code.entry(reject.code).or_insert_with(first).rows += 1;
    }

    fn add_id(&mut self, key: Option<u128>) {
        match key {
            None => self.insert_ids.without += 1,
            Some(key) => {
                self.insert_ids.rows += 1;
                self.insert_ids.repeated += u64::from(!self.ids.insert(key));
            }
        }
    }

    fn add_calls(&mut self, row: u64, about: &mut PreviewedFile) {
        for call in self.calls.iter() {
            if self.preview.largest_call.as_ref().is_none_or(|largest| largest.bytes < call.len()) {
                let largest = LargestCall { bytes: call.len(), file: about.name.clone(), row };
                self.preview.largest_call = Some(largest);
            }
            // The form of all times of calls is the same, so that they sort as texts.
            let Some(time) = timestamp_of(call) else { continue };
            about.times = Some(match about.times.take() {
                None => (time.clone(), time),
                Some((first, last)) => (first.min(time.clone()), last.max(time)),
            });
        }
    }

    fn sample(&self, row: &SourceRow<'_>, outcome: &Outcome, file: &str) -> SampleRow {
        let source = row.cells.json().and_then(|json| RawValue::from_string(json).ok());
        let raw = String::from_utf8_lossy(row.raw);
        let text = source.is_none().then(|| outside_text_within(&raw, RAW_SHOWN).to_string());
        let call = |call: &[u8]| RawValue::from_string(String::from_utf8_lossy(call).into_owned()).ok();
        let rejected = match outcome {
            Outcome::Rejected(RowReject { code, message }) => {
                Some(SampleReject { code: (*code).to_owned(), message: message.clone() })
            }
            _ => None,
        };
        SampleRow {
            file: file.to_owned(),
            row: row.number,
            line: row.line,
            source,
            text,
            calls: self.calls.iter().filter_map(call).collect(),
            skipped: *outcome == Outcome::Skipped,
            rejected,
        }
    }

    /// The preview of all files. `left`: files that were found and not looked at.
    pub fn finish(mut self, left: usize) -> Preview {
        self.warn_about_rows();
        let Self { converter, mut preview, fields, columns, by_code, insert_ids, .. } = self;
        let needed = converter.columns();
        if preview.rows > 0 {
            let is_unused = |name: &&str| needed.slot(name.as_bytes()).is_none();
            preview.unused_columns = columns.iter().filter(is_unused).map(str::to_owned).collect();
            if !columns.is_full() {
                let missing = needed.names().filter(|name| !columns.has(name));
                preview.missing_columns = missing.map(str::to_owned).collect();
            }
        }
        let drops = converter.data_type() == DataType::Event && converter.strategy() == Strategy::AppendOnly;
        preview.insert_ids = Some(insert_ids).filter(|ids| drops && ids.rows > 0);
        preview.unused_fields = converter.unused_fields().to_vec();
        preview.rejected_by_code = by_code.into_values().collect();
        preview.fields = fields;
        preview.files_left = left;
        preview
    }

    fn warn_about_rows(&mut self) {
        let warnings = &mut self.preview.warnings;
        if let Some(flag) = self.converter.missing_flag() {
            warnings.push(format!(
                "ignoreEventFlag names the field {}, which the converter does not have: no row is skipped",
                outside_text(flag)
            ));
        }
        if self.fractions > 0 {
            warnings.push(format!(
                "in {} an operator of whole numbers drops a fraction: addf, subtractf, multiplyf and dividef keep it",
                counted(self.fractions, "row", "rows")
            ));
        }
        for (operator, (values, first)) in &self.unread {
            warnings.push(format!(
                "{} could not be read by {operator}, so there is no value, for example {first}",
                counted(*values, "value", "values")
            ));
        }
        for (name, rows) in &self.twice {
            warnings.push(format!(
                "{name} is a field, and a member of event_properties in {}: the field replaces it",
                counted(*rows, "row", "rows")
            ));
        }
        if self.preview.rejected * 2 > self.preview.rows {
            let what = "more than half of the rows are rejected: an import fails a longer file of that kind";
            warnings.push(what.to_owned());
        }
        let overlapping = overlapping(&self.preview.files);
        if !overlapping.is_empty() {
            warnings.push(format!(
                "the times of these files overlap, and files should be in order of time: {}",
                first_few(overlapping, NAMES_SHOWN)
            ));
        }
    }
}

/// The names of files whose times overlap those of another.
fn overlapping(files: &[PreviewedFile]) -> Vec<String> {
    let overlaps = |one: &PreviewedFile, other: &PreviewedFile| match (&one.times, &other.times) {
        (Some((first, last)), Some((from, to))) => first <= to && from <= last,
        _ => false,
    };
    let others = |index: usize| files.iter().enumerate().filter(move |(other, _)| *other != index);
    let is_one =
        |(index, file): &(usize, &PreviewedFile)| others(*index).any(|(_, other)| overlaps(file, other));
    files.iter().enumerate().filter(is_one).map(|(_, file)| outside_text(&file.name).to_string()).collect()
}
