//! Finds how a text is written, from its beginning: its delimiter, the blanks and the line before it, a
//! delimiter at the end of its lines, and the types of its columns.

use super::delimiter::{detect_delimiter, with_blanks, with_delimiter};
use super::dialect::{Dialect, LineEnd};
use super::found_type::{Cells, FoundType, FoundTypes};
use super::header_error::shown;
use super::plan::Plan;
use super::record::Record;
use super::sample_rows::Sample;
use super::sep_line::{self, SepLine};
use super::{CsvOptions, FileType, MessageIds, find_line_end};
use crate::import::file_error::FileError;
use crate::words::{Told, counted, first_few};

/// The most columns of a type that are named.
const COLUMNS_NAMED: usize = 50;

/// How a text is written.
#[derive(Debug)]
pub(super) struct HowWritten {
    /// The options, with all that was found.
    pub options: CsvOptions,
    /// How its fields are separated.
    pub dialect: Dialect,
    /// How its lines end, if its beginning shows it.
    pub line_end: Option<LineEnd>,
    /// Whether the first line is no row: it names the delimiter.
    pub has_sep_line: bool,
    /// What a person should know, though nothing is wrong with it.
    pub note: Option<Told>,
}

impl HowWritten {
    /// How a text is written that begins with `sample`, which may be all of it.
    /// Errors: [`FileError`]: the delimiter is not known, or the first line contradicts the options.
    pub(super) fn of(
        (sample, at_end): (&[u8], bool),
        (kind, ids): (&FileType, &MessageIds),
        options: &CsvOptions,
    ) -> Result<Self, FileError> {
        let sep_line = sep_line::of(sample);
        // In a file without a header, each line has had a number as a row before this one was known.
        let first_row = sep_line.filter(|_| options.columns.is_none()).map_or(0, |line| line.len);
        let sample = Sample { text: sample.get(first_row..).unwrap_or_default(), at_end };
        let dialect = dialect_of(sample, sep_line, options)?;
        let width = options.columns.as_ref().map(Vec::len);
        let line_end = find_line_end::detect(sample.text, at_end, &dialect, width);
        let (delimiter, skips_blanks) = (Some(dialect.delimiter), dialect.skips_blanks);
        let mut how = Self {
            options: CsvOptions { delimiter, skips_blanks, ..options.clone() },
            dialect,
            line_end,
            has_sep_line: first_row > 0,
            note: None,
        };
        let header = match &options.columns {
            Some(names) => Some(Record::of_fields(names)),
            None => sample.first(&how.dialect),
        };
        if let Some(header) = header {
            how.options.ends_with_delimiter = how.ends_with_delimiter(sample, &header);
            how.find_types(sample, &header, (kind, ids));
        }
        Ok(how)
    }

    /// Whether a delimiter ends the header, and no row has anything after it.
    fn ends_with_delimiter(&self, sample: Sample<'_>, header: &Record) -> bool {
        let Some(last) = header.len().checked_sub(1).filter(|last| *last > 0) else { return false };
        let blanks = if self.dialect.skips_blanks { &b" "[..] } else { b"" };
        let end = header.raw.iter().rev().find(|byte| !blanks.contains(byte));
        // A quoted name that is empty is that of a column.
        let is_end = self.options.columns.is_some() || end == Some(&self.dialect.delimiter);
        if !is_end || header.get(last) != Some(b"") {
            return false;
        }
        let mut are_empty = true;
        self.each_row(sample, header, |record| are_empty &= record.get(last) == Some(b""));
        are_empty
    }

    /// Finds the types of columns, if they are asked for.
    fn find_types(&mut self, sample: Sample<'_>, header: &Record, (kind, ids): (&FileType, &MessageIds)) {
        if !self.options.infers() {
            return;
        }
        // The error of a header that cannot be used is that of its second reading.
        let Ok((plan, _)) = Plan::compile(header, kind, &self.options, ids) else { return };
        let (columns, mut rows) = (plan.inferred(), 0);
        let mut all = vec![Cells::default(); columns.len()];
        self.each_row(sample, header, |record| {
            plan.prepare(record);
            rows += 1;
            for (index, cells) in columns.iter().zip(&mut all) {
                cells.add(record.get(*index).unwrap_or_default());
            }
        });
        let mut types = vec![None; plan.names.len()];
        for (index, cells) in columns.into_iter().zip(&all) {
            if let Some(found) = types.get_mut(index) {
                *found = Some(cells.found());
            }
        }
        let found = FoundTypes::of(types);
        self.note = Some(note(rows, &plan.names, &found));
        self.options.found = Some(found);
    }

    fn each_row(&self, sample: Sample<'_>, header: &Record, look: impl FnMut(&mut Record)) {
        let shape = (header.len(), self.options.columns.is_none());
        sample.each_row((&self.dialect, self.line_end), shape, look);
    }
}

fn dialect_of(
    sample: Sample<'_>,
    sep_line: Option<SepLine>,
    options: &CsvOptions,
) -> Result<Dialect, FileError> {
    let has_header = options.columns.is_none();
    let wrong = |line: SepLine, why: &str| {
        let said = char::from(line.delimiter).escape_default();
        Err(FileError::content(
            "E-CSV-DELIMITER",
            Told::plain(format!("the first line says sep={said}: {why}")),
        ))
    };
    match (options.delimiter, sep_line) {
        (Some(delimiter), Some(line)) if has_header && delimiter != line.delimiter => {
            wrong(line, "--delimiter names another one (leave it away, or remove the line)")
        }
        (Some(delimiter), _) => Ok(options.dialect(delimiter)),
        (None, Some(line)) => {
            let dialect = options.dialect(line.delimiter);
            match dialect.check() {
                Err(error) => wrong(line, &error.to_string()),
                Ok(()) if has_header => Ok(with_blanks(sample, dialect)),
                Ok(()) => Ok(dialect),
            }
        }
        (None, None) if has_header => with_delimiter(sample, &options.dialect(b',')),
        (None, None) => {
            let found = detect_delimiter(sample.text, sample.at_end, options.quote, options.escape)?;
            Ok(options.dialect(found))
        }
    }
}

/// What was found, for a person. Names of columns are private.
fn note(rows: u64, names_of: &[String], found: &FoundTypes) -> Told {
    use FoundType::{Bool, Float, Int, String as Text};
    let of_type = |wanted: FoundType| {
        let names = found.iter().filter(|(_, found)| *found == wanted);
        let names = names.filter_map(|(index, _)| names_of.get(index)).map(|name| shown(name));
        let names = first_few(names, COLUMNS_NAMED);
        (!names.is_empty()).then(|| format!("{}: {names}", wanted.name()))
    };
    let types: Vec<String> = [Int, Float, Bool, Text].into_iter().filter_map(of_type).collect();
    let types = if types.is_empty() { "no column needs one".to_owned() } else { types.join("; ") };
    let rows = counted(rows, "row", "rows");
    let full = format!("types by the first {rows}, for the whole file: {types}");
    Told::masked_as(
        full,
        format!(
            "the types of {} are those of the first {rows}",
            counted(found.iter().count() as u64, "column", "columns")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallKind;
    use crate::import::csv::Types;

    fn of(text: &str, options: &CsvOptions) -> Result<HowWritten, String> {
        let (kind, ids) = (FileType::Calls(CallKind::Track), MessageIds::Position(String::new()));
        HowWritten::of((text.as_bytes(), true), (&kind, &ids), options).map_err(|error| error.to_string())
    }

    #[test]
    fn the_line_of_excel_names_the_delimiter() {
        let usual = CsvOptions::default();
        let how = of("sep=;\r\nuserId;event\r\n1;a,b\r\n", &usual).unwrap();
        assert_eq!(
            (how.dialect.delimiter, how.has_sep_line, how.line_end),
            (b';', true, Some(LineEnd::Both))
        );
        let how = of("\u{feff}\"sep=|\"\nuserId| event\n1| e\n", &usual).unwrap();
        assert_eq!((how.dialect.delimiter, how.dialect.skips_blanks), (b'|', true));
        let named = CsvOptions { delimiter: Some(b','), ..usual.clone() };
        let error = of("sep=;\nuserId;event\n", &named).map(|_| ()).unwrap_err();
        assert!(
            error.starts_with("E-CSV-DELIMITER: the first line says sep=;: --delimiter names another"),
            "{error}"
        );
        let quoted = CsvOptions { quote: Some(b'|'), ..usual.clone() };
        assert!(of("sep=|\nuserId|event\n", &quoted).is_err());
        // Without a header, the line keeps its number.
        let columns = CsvOptions { columns: Some(vec!["userId".to_owned(), "event".to_owned()]), ..usual };
        let how = of("sep=;\n1;e\n", &columns).unwrap();
        assert_eq!((how.dialect.delimiter, how.has_sep_line), (b';', false));
    }

    #[test]
    fn a_delimiter_at_the_end_of_all_lines_makes_no_column() {
        let check = |text: &str, expected: bool| {
            let how = of(text, &CsvOptions::default()).unwrap();
            assert_eq!(how.options.ends_with_delimiter, expected, "{text:?}");
        };
        check("a;b;\n1;2;\n3;4;\n", true);
        check("a;b;\n1;2;\n3;4;x\n", false);
        check("a;b;\n1;2\n", true);
        check("a;b;\"\"\n1;2;\n", false);
        check("a, b, \n1, 2, \n", true);
        check("a;b\n1;2;\n", false);
        check("a\n1\n", false);
        let columns = Some(["a", "b", ""].map(str::to_owned).to_vec());
        let named = CsvOptions { columns, ..CsvOptions::default() };
        assert!(of("1;2;\n3;4;\n", &named).unwrap().options.ends_with_delimiter);
    }

    #[test]
    fn one_type_is_found_for_each_column() {
        let infer = CsvOptions { types: Types::Infer, nulls: vec!["NA".to_owned()], ..CsvOptions::default() };
        let text =
            "userId,event,price,zip,active,none,n\n1,e,1.0,94103,True,,NA\n2,e,2,02134,FALSE,,7\n3,e\n";
        let how = of(text, &infer).unwrap();
        assert_eq!(
            how.note.unwrap().full(),
            "types by the first 2 rows, for the whole file: int: n; float: price; bool: active; string: zip, none"
        );
        let found = how.options.found.unwrap();
        assert_eq!(found.to_string(), "--fsbsi", "ids have no type to find");
        assert!(of(text, &CsvOptions::default()).unwrap().options.found.is_none());
    }
}
