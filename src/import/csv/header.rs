//! Reads the header: the path in the call of each column.

use std::collections::HashMap;

use super::FileType;
use super::path;
use super::record::Record;
use crate::call::CallKind;
use crate::import::file_error::FileError;
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

/// The error of two columns whose paths in the call exclude each other. Names of the header are private,
/// here and below: in a file without a header, the first row stands there.
pub(super) fn conflict(one: &str, other: &str, why: &str) -> FileError {
    let full = format!("columns \"{}\" and \"{}\" do not go together: {why}", shown(one), shown(other));
    FileError::content("E-CSV-CONFLICT", Told::masked_as(full, "two columns do not go together"))
}

/// The error of an array with this path whose elements are not numbered 0, 1, 2, …
pub(super) fn no_array(path: &str, why: &str) -> FileError {
    let full = format!("the parts of \"{}\" are no array: {why} (or leave --arrays away)", shown(path));
    FileError::content("E-CSV-CONFLICT", Told::masked_as(full, "the parts of a column are no array"))
}

/// The error of a header that cannot be read.
pub(super) fn unreadable(why: String) -> FileError {
    FileError::content("E-CSV-HEADER", Told::masked_as(why, "the header cannot be read"))
}

/// The warning that a column is imported otherwise than one may expect.
pub(super) fn warning(column: &str, what: &str) -> Told {
    Told::masked_as(format!("column \"{}\" {what}", shown(column)), format!("a column {what}"))
}

impl Header {
    /// Reads the header of a file of calls of this kind. Warnings are appended to `warnings`.
    /// Errors: [`FileError`]: the header cannot be read, or two columns have one name.
    pub(super) fn read(
        header: &Record,
        kind: &FileType,
        arrays: bool,
        warnings: &mut Vec<Told>,
    ) -> Result<Self, FileError> {
        if header.len() > COLUMNS_MAX {
            return Err(unreadable(format!(
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
                let number = grouped(index as u64 + 1);
                warnings.push(Told::plain(format!("column {number} has no name and is ignored")));
                continue;
            }
            if let Some(first) = seen.insert(name, index) {
                let (first, second) = (grouped(first as u64 + 1), grouped(index as u64 + 1));
                let full = format!(
                    "columns {first} and {second} are both called \"{}\" (rename one, or give all names with --columns and leave \
                     the header out with --rows 1..)",
                    shown(name)
                );
                let told = Told::masked_as(full, format!("columns {first} and {second} have the same name"));
                return Err(FileError::content("E-CSV-DUPCOL", told));
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
/// Errors: [`FileError`]: a name does.
pub(super) fn check_letters(columns: &[Column], kind: &FileType) -> Result<(), FileError> {
    for column in columns {
        if let Some(meant) = other_case(column, columns, kind) {
            let full = format!(
                "column \"{}\": did you mean \"{meant}\"? Names are case-sensitive \
                 (rename it, or give all names with --columns and leave the header out with --rows 1..)",
                shown(&column.name)
            );
            let masked = format!("a column differs from \"{meant}\" only in the case of its letters");
            return Err(FileError::content("E-CSV-HEADER", Told::masked_as(full, masked)));
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
fn name_of(index: usize, field: &[u8]) -> Result<String, FileError> {
    let unreadable = |what: &str| {
        let number = grouped(index as u64 + 1);
        unreadable(format!("the name of column {number} {what}: is this a CSV file in UTF-8?"))
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
    warnings: &mut Vec<Told>,
) -> Result<Option<Column>, FileError> {
    let as_json = if arrays { name.strip_suffix(JSON_SUFFIX).filter(|rest| !rest.is_empty()) } else { None };
    let placed = as_json.unwrap_or(name);
    let mut path = path::parts(placed).unwrap_or_else(|| {
        warnings.push(warning(name, "is kept under this very name: a part between its dots is empty"));
        vec![placed.to_owned()]
    });
    if path.len() > PATH_PARTS_MAX {
        return Err(unreadable(format!(
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
        warnings.push(warning(name, "is ignored: this field is set by the import or the collector"));
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
pub(super) fn shown(name: &str) -> impl std::fmt::Display + '_ {
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
        (paths, warnings.iter().map(|warning| warning.full().to_owned()).collect())
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
        assert_eq!(error.unwrap_err().code, "E-CSV-HEADER");
    }
}
