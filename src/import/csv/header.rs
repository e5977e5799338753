//! Reads the header: the path in the call of each column.

use std::collections::HashMap;

use super::FileType;
use super::header_error::{shown, unreadable, warning};
use super::letters;
use super::path;
use super::record::Record;
use crate::call::CallKind;
use crate::import::file_error::FileError;
use crate::words::{Told, counted, grouped};

/// The most columns of a file.
const COLUMNS_MAX: usize = 10_000;

/// The most parts of a column's path.
const PATH_PARTS_MAX: usize = 32;

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

/// Whether a column has this path.
pub(super) fn is_at(column: &Column, path: &[&str]) -> bool {
    column.path.iter().map(String::as_str).eq(path.iter().copied())
}

/// Reads the columns that a header names.
pub(super) struct Header;

impl Header {
    /// Reads the columns with these names in a file of this kind. `map_of`: the name that a person gives to a
    /// column, by its index. Warnings are appended to `warnings`.
    /// Errors: [`FileError`]: a name has no place in calls, or two names could be meant by one.
    pub(super) fn columns<'m>(
        names: &[String],
        (kind, arrays): (&FileType, bool),
        map_of: impl Fn(usize) -> Option<&'m str>,
        warnings: &mut Vec<Told>,
    ) -> Result<Vec<Column>, FileError> {
        let mut columns = Vec::with_capacity(names.len());
        let written: Vec<&str> =
            names.iter().enumerate().map(|(index, name)| map_of(index).unwrap_or(name)).collect();
        let read_as = letters::read_as(&written, kind, warnings)?;
        for (index, (name, read_as)) in names.iter().zip(&read_as).enumerate() {
            if name.is_empty() {
                let number = grouped(index as u64 + 1);
                warnings.push(Told::plain(format!("column {number} has no name and is ignored")));
                continue;
            }
            columns.extend(column_of(
                index,
                (name, read_as, map_of(index).is_some()),
                (kind, arrays),
                warnings,
            )?);
        }
        Ok(columns)
    }

    /// The names of a header, trimmed.
    /// Errors: [`FileError`]: the header cannot be read, or two columns have one name.
    pub(super) fn names(header: &Record) -> Result<Vec<String>, FileError> {
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
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
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
        }
        Ok(names)
    }
}

/// The name of the column at `index`.
fn name_of(index: usize, field: &[u8]) -> Result<String, FileError> {
    let unreadable =
        |what: &str| unreadable(format!("the name of column {} {what}", grouped(index as u64 + 1)));
    let name = std::str::from_utf8(field).map_err(|_| {
        unreadable(
            "is not UTF-8: pass the file's encoding, which is --encoding windows-1252 for most spreadsheets",
        )
    })?;
    // The byte order mark may be inside of quotes.
    let name = if index == 0 { name.strip_prefix('\u{feff}').unwrap_or(name) } else { name };
    let name = name.trim();
    if name.chars().any(char::is_control) {
        return Err(unreadable("has a control character: is this a CSV file in UTF-8?"));
    }
    Ok(name.to_owned())
}

/// Columns of an object file that are no properties.
const OBJECT_PLACES: [&str; 2] = ["id", "messageId"];

/// The column with its path, unless it is ignored. `read_as` is the name that it is read under, `is_mapped`
/// whether a person gave it.
fn column_of(
    index: usize,
    (name, read_as, is_mapped): (&str, &str, bool),
    (kind, arrays): (&FileType, bool),
    warnings: &mut Vec<Told>,
) -> Result<Option<Column>, FileError> {
    let as_json =
        if arrays { read_as.strip_suffix(JSON_SUFFIX).filter(|rest| !rest.is_empty()) } else { None };
    let placed = as_json.unwrap_or(read_as);
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
        if !OBJECT_PLACES.contains(&read_as) {
            // The parts of a name are joined as the collector joins them, so the object read from the file is
            // already the object that is stored.
            path = vec!["properties".to_owned(), path.join("_")];
        }
        return Ok(Some(Column { index, name: name.to_owned(), path, json: false }));
    }
    let first = path.first().map_or("", String::as_str);
    if OWNED.contains(&first) && is_mapped {
        return Err(unreadable(format!(
            "column \"{}\" cannot be read as \"{}\": this field is set by the import or the collector",
            shown(name),
            shown(read_as)
        )));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn header(
        names: &[impl AsRef<[u8]>],
        kind: &FileType,
        arrays: bool,
        warnings: &mut Vec<Told>,
    ) -> Result<Vec<Column>, FileError> {
        let names = Header::names(&Record::of_fields(names))?;
        Header::columns(&names, (kind, arrays), |_| None, warnings)
    }

    fn read(names: &[&str], kind: CallKind, arrays: bool) -> (Result<Vec<String>, String>, Vec<String>) {
        let mut warnings = Vec::new();
        let header = header(names, &FileType::Calls(kind), arrays, &mut warnings);
        let paths = header
            .map(|columns| columns.iter().map(|column| path::shown(&column.path)).collect())
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
        let columns = header(&names, &rooms, false, &mut warnings).unwrap();
        let paths: Vec<String> = columns.iter().map(|column| path::shown(&column.path)).collect();
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
    fn a_column_is_read_under_the_name_that_a_person_gives() {
        let read = |names: &[&str], kind: &str, map: &str, warnings: &mut Vec<Told>| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let kind = FileType::try_from(kind.to_owned()).unwrap();
            let map_of = |index| (index == 1).then_some(map);
            let columns = Header::columns(&names, (&kind, true), map_of, warnings)
                .map_err(|error| error.to_string())?;
            let paths = columns.iter().map(|column| (column.name.clone(), path::shown(&column.path)));
            Ok::<Vec<(String, String)>, String>(paths.collect())
        };
        let mut warnings = Vec::new();
        let check = |kind: &str, map: &str, expected: &str, warnings: &mut Vec<Told>| {
            let found = read(&["userId", "E-Mail"], kind, map, warnings).unwrap();
            assert_eq!(found[1], ("E-Mail".to_owned(), expected.to_owned()));
        };
        check("identify", "traits.email", "traits.email", &mut warnings);
        check("track", "traits.email", "context.traits.email", &mut warnings);
        check("track", "tags:json", "tags", &mut warnings);
        check("objects/rooms", "id", "id", &mut warnings);
        check("objects/rooms", "a.b", "properties.a_b", &mut warnings);
        assert!(warnings.is_empty(), "{warnings:?}");
        check("track", "Timestamp", "timestamp", &mut warnings);
        assert_eq!(warnings.len(), 1);
        let error = read(&["userId", "E-Mail"], "track", "sentAt", &mut Vec::new()).unwrap_err();
        assert!(error.starts_with("E-CSV-HEADER: column \"E-Mail\" cannot be read as \"sentAt\""), "{error}");
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
        let error = header(&[b"\xFF"], &FileType::Calls(CallKind::Track), false, &mut Vec::new());
        assert_eq!(error.unwrap_err().code, "E-CSV-HEADER");
    }
}
