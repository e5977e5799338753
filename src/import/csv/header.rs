//! Reads the header: the path in the call of each column.

use std::collections::HashMap;

use super::FileType;
use super::path;
use super::record::Record;
use crate::call::CallKind;
use crate::words::{Told, counted, grouped, outside_text_within};

/// The most columns of a file.
const COLUMNS_MAX: usize = 10_000;

/// The most parts of a column's path.
const PATH_PARTS_MAX: usize = 32;

/// The most bytes of a name that errors and warnings show.
const NAME_SHOWN_MAX: usize = 256;

/// Fields that an import or the collector sets itself. `sentAt` would shift times.
const OWNED: [&str; 9] = [
    "type", "receivedAt", "sentAt", "originalTimestamp", "projectId", "channel", "version", "writeKey",
    "forebayPosition",
];

/// The end of a name whose cells hold JSON.
const JSON_SUFFIX: &str = ":json";

/// A column that has a path in the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// The column's index in each record, from 0.
    pub index: usize,
    /// The column's name, trimmed.
    pub name: String,
    /// The column's path in the call.
    pub path: Vec<String>,
    /// Whether the name ended with `:json` while arrays were asked for.
    pub json: bool,
}

/// The columns that a header names.
#[derive(Debug)]
pub(super) struct Header {
    /// All names of the header, trimmed, with the blank ones.
    pub names: Vec<String>,
    /// The columns that are not ignored, in order.
    pub columns: Vec<Column>,
}

/// Why a file with this header cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Two columns have one name.
    #[error(
        "E-CSV-DUPCOL: columns {} and {} are both called \"{}\" (rename one, or give all names with --columns and leave the \
         header out with --rows 1..)",
        grouped(*first),
        grouped(*second),
        shown(name)
    )]
    Duplicate {
        /// The name.
        name: String,
        /// The number of the first, from 1.
        first: u64,
        /// The number of the other, from 1.
        second: u64,
    },
    /// Two columns have paths in the call that exclude each other.
    #[error("E-CSV-CONFLICT: columns \"{}\" and \"{}\" do not go together: {why}", shown(one), shown(other))]
    Conflict {
        /// The one column's name.
        one: String,
        /// The other column's name.
        other: String,
        /// Why they exclude each other.
        why: String,
    },
    /// The elements of an array are not numbered 0, 1, 2, …
    #[error("E-CSV-CONFLICT: the parts of \"{}\" are no array: {why} (or leave --arrays away)", shown(path))]
    Array {
        /// The array's path in the call.
        path: String,
        /// What is wrong with its elements.
        why: String,
    },
    /// The header cannot be read.
    #[error("E-CSV-HEADER: {0}")]
    Unreadable(String),
    /// A name differs from one with a meaning in the case of its letters.
    #[error(
        "E-CSV-HEADER: column \"{}\": did you mean \"{meant}\"? Names are case-sensitive \
         (rename it, or give all names with --columns and leave the header out with --rows 1..)",
        shown(name)
    )]
    Case {
        /// The name.
        name: String,
        /// The name, or its first part, that has a meaning.
        meant: &'static str,
    },
    /// A column that every row needs is missing.
    #[error(
        "E-CSV-MISSING: {what} needs a column {needed}; the file has {columns} \
         (check the header and --delimiter, or give all names with --columns; if there is a header, then also --rows 1..)"
    )]
    Missing {
        /// `a track file`, or the option that names the column.
        what: String,
        /// The missing column. If several are named, one of them is enough.
        needed: String,
        /// The first names of the header.
        columns: String,
    },
}

impl HeaderError {
    /// The text without its code. Names of the header are private: in a file without a header, the first row
    /// stands there.
    pub fn told(&self) -> Told {
        let text = self.to_string();
        let full = text.strip_prefix(self.code()).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text);
        let masked = match self {
            Self::Duplicate { first, second, .. } => {
                format!("columns {} and {} have the same name", grouped(*first), grouped(*second))
            }
            Self::Conflict { .. } => "two columns do not go together".to_owned(),
            Self::Array { .. } => "the parts of a column are no array".to_owned(),
            Self::Unreadable(_) => "the header cannot be read".to_owned(),
            Self::Case { meant, .. } => {
                format!("a column differs from \"{meant}\" only in the case of its letters")
            }
            Self::Missing { .. } => "a column that every row needs is missing".to_owned(),
        };
        Told::masked_as(full, masked)
    }

    /// The code that the text begins with.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "E-CSV-DUPCOL",
            Self::Conflict { .. } | Self::Array { .. } => "E-CSV-CONFLICT",
            Self::Unreadable(_) | Self::Case { .. } => "E-CSV-HEADER",
            Self::Missing { .. } => "E-CSV-MISSING",
        }
    }
}

/// A part of the header that is imported otherwise than one may expect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A column without a name is ignored; its number, from 1.
    #[error("column {} has no name and is ignored", grouped(*.0))]
    Blank(u64),
    /// A column is ignored because its field is set by the import or the collector.
    #[error("column \"{}\" is ignored: this field is set by the import or the collector", shown(.0))]
    Owned(String),
    /// The `messageId` column is ignored because `--id-from` names another one.
    #[error("column \"messageId\" is ignored: --id-from names another column")]
    OtherMessageId,
    /// A name with an empty part, such as `Notes.`, is not split at its dots.
    #[error("column \"{}\" is kept under this very name: a part between its dots is empty", shown(.0))]
    Literal(String),
    /// The schema gives an id a type other than string.
    #[error("column \"{}\" stays text whatever the schema says: it is an id or a name", shown(.0))]
    StaysText(String),
    /// The schema gives the time of the call a type that is none.
    #[error("column \"{}\" stays a time whatever the schema says", shown(.0))]
    StaysTime(String),
    /// The schema gives an object of the call another type.
    #[error("column \"{}\" stays a JSON object whatever the schema says", shown(.0))]
    StaysObject(String),
    /// The schema or `--time-columns` names a column that the file does not have.
    #[error("the file has no column \"{}\", which {option} names", shown(.name))]
    NoSuchColumn {
        /// `--types` or `--time-columns`.
        option: &'static str,
        /// The name that the option has.
        name: String,
    },
}

impl Warning {
    /// The text, in which the names of the file's columns are private. Names in options are not private: they
    /// are settings.
    pub fn told(&self) -> Told {
        let name = match self {
            Self::Blank(_) | Self::OtherMessageId | Self::NoSuchColumn { .. } => {
                return Told::plain(self.to_string());
            }
            Self::Owned(name)
            | Self::Literal(name)
            | Self::StaysText(name)
            | Self::StaysTime(name)
            | Self::StaysObject(name) => name,
        };
        let (full, quoted) = (self.to_string(), format!("column \"{}\"", shown(name)));
        match full.strip_prefix(&quoted) {
            Some(rest) => Told::masked_as(&*full, format!("a column{rest}")),
            None => Told::private(full),
        }
    }
}

impl Header {
    /// Reads the header of a file of calls of this kind. Warnings are appended to `warnings`.
    /// Errors: [`HeaderError`], other than missing columns.
    pub(super) fn read(
        header: &Record,
        kind: &FileType,
        arrays: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, HeaderError> {
        if header.len() > COLUMNS_MAX {
            return Err(HeaderError::Unreadable(format!(
                "the header has {}; the limit is {}",
                counted(header.len() as u64, "column", "columns"),
                grouped(COLUMNS_MAX as u64)
            )));
        }
        let names = header.iter().enumerate().map(|(index, field)| name_of(index, field));
        let names: Vec<String> = names.collect::<Result<_, _>>()?;
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        let mut columns = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() {
                warnings.push(Warning::Blank(index as u64 + 1));
                continue;
            }
            if let Some(first) = seen.insert(name, index) {
                let (first, second) = (first as u64 + 1, index as u64 + 1);
                return Err(HeaderError::Duplicate { name: name.clone(), first, second });
            }
            columns.extend(column_of(index, name, kind, arrays, warnings)?);
        }
        Ok(Self { names, columns })
    }
}

/// Names that have a meaning in calls of a kind.
fn meaningful(kind: &FileType) -> &'static [&'static str] {
    let FileType::Calls(kind) = kind else { return &["id", "messageId"] };
    match kind {
        CallKind::Track => &["userId", "anonymousId", "event", "timestamp", "messageId"],
        CallKind::Page | CallKind::Screen => &["userId", "anonymousId", "name", "timestamp", "messageId"],
        CallKind::Group => &["userId", "anonymousId", "groupId", "timestamp", "messageId"],
        CallKind::Alias => &["userId", "previousId", "timestamp", "messageId"],
        CallKind::Identify => &["userId", "anonymousId", "timestamp", "messageId"],
    }
}

/// Checks that no name differs from one with a meaning only in the case of its letters.
/// Errors: [`HeaderError::Case`].
pub(super) fn check_letters(columns: &[Column], kind: &FileType) -> Result<(), HeaderError> {
    for column in columns {
        if let Some(meant) = other_case(column, columns, kind) {
            return Err(HeaderError::Case { name: column.name.clone(), meant });
        }
    }
    Ok(())
}

/// The name with a meaning that differs from the column's name only in capitals, if no other column has it.
/// Such a column would be kept beside the field that was meant: with `Timestamp`, the call would get the time
/// of its import.
fn other_case(column: &Column, columns: &[Column], kind: &FileType) -> Option<&'static str> {
    let is_of_calls = matches!(kind, FileType::Calls(_));
    let roots: &[&str] = if is_of_calls { &["properties", "traits", "context", "integrations"] } else { &[] };
    let written = if is_of_calls { column.path.first()?.as_str() } else { column.name.as_str() };
    let is_other = |name: &&str| written != *name && written.eq_ignore_ascii_case(name);
    if let Some(root) = roots.iter().copied().find(is_other) {
        return Some(root);
    }
    if is_of_calls && column.path.len() != 1 {
        return None;
    }
    let meant = meaningful(kind).iter().copied().find(is_other)?;
    (!columns.iter().any(|other| other.name == meant)).then_some(meant)
}

/// The name of the column at `index`.
fn name_of(index: usize, field: &[u8]) -> Result<String, HeaderError> {
    let unreadable = |what: &str| {
        let number = grouped(index as u64 + 1);
        HeaderError::Unreadable(format!("the name of column {number} {what}: is this a CSV file in UTF-8?"))
    };
    let name = std::str::from_utf8(field).map_err(|_| unreadable("is not UTF-8"))?;
    // The byte order mark may be inside of quotes.
    let name = if index == 0 { name.strip_prefix('\u{feff}').unwrap_or(name) } else { name };
    let name = name.trim();
    if name.chars().any(char::is_control) {
        return Err(unreadable("has a control character"));
    }
    Ok(name.to_owned())
}

/// Columns of an object file that are no properties.
const OBJECT_PLACES: [&str; 2] = ["id", "messageId"];

/// The column with its path, unless it is ignored.
fn column_of(
    index: usize,
    name: &str,
    kind: &FileType,
    arrays: bool,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Column>, HeaderError> {
    let as_json = if arrays { name.strip_suffix(JSON_SUFFIX).filter(|rest| !rest.is_empty()) } else { None };
    let placed = as_json.unwrap_or(name);
    let mut path = path::parts(placed).unwrap_or_else(|| {
        warnings.push(Warning::Literal(name.to_owned()));
        vec![placed.to_owned()]
    });
    if path.len() > PATH_PARTS_MAX {
        return Err(HeaderError::Unreadable(format!(
            "column \"{}\" has {} parts; the limit is {PATH_PARTS_MAX}",
            shown(name),
            grouped(path.len() as u64)
        )));
    }
    if let FileType::Objects(_) = kind {
        // All columns of an object are properties, except its id and the messageId by which a repeat is
        // recognised.
        if !OBJECT_PLACES.contains(&name) {
            // The parts of a name are joined as the collector joins them, so the object read from the file is
            // already the object that is stored.
            path = vec!["properties".to_owned(), path.join("_")];
        }
        return Ok(Some(Column { index, name: name.to_owned(), path, json: false }));
    }
    let first = path.first().map_or("", String::as_str);
    if OWNED.contains(&first) {
        warnings.push(Warning::Owned(name.to_owned()));
        return Ok(None);
    }
    // Track, page and screen calls have no traits of their own: their traits describe the user, and are
    // context.
    let traits_are_context =
        matches!(kind, FileType::Calls(CallKind::Track | CallKind::Page | CallKind::Screen));
    if traits_are_context && first == "traits" {
        path.insert(0, "context".to_owned());
    }
    Ok(Some(Column { index, name: name.to_owned(), path, json: as_json.is_some() }))
}

/// A name, safe for one line.
fn shown(name: &str) -> impl std::fmt::Display + '_ {
    outside_text_within(name, NAME_SHOWN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &[&str], kind: CallKind, arrays: bool) -> (Result<Vec<String>, String>, Vec<String>) {
        let mut warnings = Vec::new();
        let header = Header::read(&Record::of_fields(names), &FileType::Calls(kind), arrays, &mut warnings);
        let paths = header
            .map(|header| header.columns.iter().map(|column| path::shown(&column.path)).collect())
            .map_err(|error| error.to_string());
        (paths, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_are_trimmed_and_traits_moved() {
        let check = |names: &[&str], kind: CallKind, expected: &[&str]| {
            let (paths, warnings) = read(names, kind, false);
            assert_eq!(paths.unwrap(), expected);
            assert!(warnings.is_empty(), "{warnings:?}");
        };
        check(&["\u{feff} userId ", "a b"], CallKind::Track, &["userId", "a b"]);
        for kind in [CallKind::Track, CallKind::Page, CallKind::Screen] {
            check(&["traits.a", "x"], kind, &["context.traits.a", "x"]);
            check(&["traits"], kind, &["context.traits"]);
        }
        for kind in [CallKind::Identify, CallKind::Group, CallKind::Alias] {
            check(&["traits.a", "x:json"], kind, &["traits.a", "x:json"]);
        }
        check(&["_metadata.x", "messageId"], CallKind::Track, &["_metadata.x", "messageId"]);
        assert_eq!(read(&["x:json", ":json"], CallKind::Track, true).0.unwrap(), ["x", ":json"]);
    }

    #[test]
    fn every_column_of_an_object_file_but_its_ids_is_a_property() {
        let mut warnings = Vec::new();
        let names = ["id", "messageId", "type", "receivedAt", "geo.lat", "traits.a"];
        let rooms = FileType::try_from("objects/rooms".to_owned()).unwrap();
        let header = Header::read(&Record::of_fields(names), &rooms, false, &mut warnings).unwrap();
        let paths: Vec<String> = header.columns.iter().map(|column| path::shown(&column.path)).collect();
        let properties =
            ["type", "receivedAt", "geo_lat", "traits_a"].map(|name| format!("properties.{name}"));
        assert_eq!(paths, [&["id".to_owned(), "messageId".to_owned()][..], &properties].concat());
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn ignored_columns_are_named() {
        let (paths, warnings) = read(&["", "sentAt", "a", " ", "type.x", "No."], CallKind::Track, false);
        assert_eq!(paths.unwrap(), ["a", "No\\."]);
        assert_eq!(
            warnings,
            [
                "column 1 has no name and is ignored",
                "column \"sentAt\" is ignored: this field is set by the import or the collector",
                "column 4 has no name and is ignored",
                "column \"type.x\" is ignored: this field is set by the import or the collector",
                "column \"No.\" is kept under this very name: a part between its dots is empty",
            ]
        );
    }

    #[test]
    fn a_name_in_other_letters_is_asked_about() {
        let check = |kind: CallKind, names: &[&str], meant: Option<&str>| {
            let kind = FileType::Calls(kind);
            let header = Header::read(&Record::of_fields(names), &kind, false, &mut Vec::new()).unwrap();
            let found = check_letters(&header.columns, &kind).map_err(|error| error.to_string()).err();
            let asked = found.as_deref().and_then(|text| text.split("did you mean \"").nth(1));
            assert_eq!(asked.and_then(|text| text.split('"').next()), meant, "{names:?}");
        };
        check(CallKind::Track, &["userId", "Timestamp"], Some("timestamp"));
        check(CallKind::Page, &["TIMESTAMP"], Some("timestamp"));
        check(CallKind::Track, &["userid", "anonymousId"], Some("userId"));
        check(CallKind::Track, &["MessageID"], Some("messageId"));
        check(CallKind::Track, &["Properties.plan"], Some("properties"));
        check(CallKind::Group, &["CONTEXT"], Some("context"));
        check(CallKind::Screen, &["Name"], Some("name"));
        // Not a name that means something here, or one beside the right one.
        check(CallKind::Track, &["userId", "Name", "Event date", "properties.Timestamp"], None);
        check(CallKind::Track, &["timestamp", "Timestamp"], None);
        let rooms = FileType::try_from("objects/rooms".to_owned()).unwrap();
        let header = |names: &[&str]| {
            let header = Header::read(&Record::of_fields(names), &rooms, false, &mut Vec::new()).unwrap();
            check_letters(&header.columns, &rooms).map_err(|error| error.to_string())
        };
        assert_eq!(
            header(&["ID", "a"]).unwrap_err(),
            "E-CSV-HEADER: column \"ID\": did you mean \"id\"? Names are case-sensitive \
             (rename it, or give all names with --columns and leave the header out with --rows 1..)"
        );
        assert!(header(&["id", "Timestamp", "Properties"]).is_ok());
    }

    #[test]
    fn a_header_that_is_none_says_why() {
        let check = |names: &[&str], expected: &str| {
            assert_eq!(read(names, CallKind::Track, false).0.unwrap_err(), expected, "{names:?}");
        };
        check(
            &["a", "b", " a"],
            "E-CSV-DUPCOL: columns 1 and 3 are both called \"a\" (rename one, or give all names with --columns \
             and leave the header out with --rows 1..)",
        );
        check(
            &["a", "PK\u{3}\u{4}x"],
            "E-CSV-HEADER: the name of column 2 has a control character: is this a CSV file in UTF-8?",
        );
        check(
            &["a\0b"],
            "E-CSV-HEADER: the name of column 1 has a control character: is this a CSV file in UTF-8?",
        );
        let deep = vec!["a"; 33].join(".");
        check(&[&deep], &format!("E-CSV-HEADER: column \"{deep}\" has 33 parts; the limit is 32"));
        let wide: Vec<String> = (0..10_001).map(|index| format!("c{index}")).collect();
        let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
        check(&wide, "E-CSV-HEADER: the header has 10,001 columns; the limit is 10,000");
        assert_eq!(read(&wide[1..], CallKind::Track, false).0.unwrap().len(), 10_000);
        let error = Header::read(
            &Record::of_fields([b"\xFF"]),
            &FileType::Calls(CallKind::Track),
            false,
            &mut Vec::new(),
        );
        assert_eq!(error.unwrap_err().code(), "E-CSV-HEADER");
    }
}
