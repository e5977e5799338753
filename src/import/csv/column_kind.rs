//! Decides once for each column what its cells become.

use std::collections::HashMap;

use super::found_type::FoundType;
use super::header::{Column, is_at};
use super::header_error::{conflict, shown, unreadable, warning};
use super::layout::OBJECT_PLACES;
use super::said::{Said, two_fit};
use super::schema::ColumnType;
use super::value::Kind;
use super::{CsvOptions, FileType};
use crate::call::export_time::Numbers;
use crate::import::file_error::FileError;
use crate::words::Told;

/// Columns whose cells are times, at any depth.
const TIME_NAMES: [&str; 2] = ["timestamp", "createdAt"];

/// Paths whose cells stay text whatever they look like.
const TEXT_PLACES: [&[&str]; 9] = [
    &["userId"],
    &["anonymousId"],
    &["groupId"],
    &["previousId"],
    &["messageId"],
    &["event"],
    &["name"],
    &["context", "ip"],
    &["context", "device", "id"],
];

/// Whether the cells of a column are ids or names, which stay text whatever options say.
pub(super) fn stays_text(column: &Column, kind: &FileType) -> bool {
    let is_object_id = matches!(kind, FileType::Objects(_)) && is_at(column, &["id"]);
    is_object_id || TEXT_PLACES.iter().any(|place| is_at(column, place))
}

/// What the cells of a column become. `is_time`: an option says that they are times.
pub(super) fn kind_of(
    column: &Column,
    (said, is_time): (&Said<'_>, bool),
    kind: &FileType,
    warnings: &mut Vec<Told>,
) -> Kind {
    let Said { declared, infer, found, rule } = *said;
    let date = rule.and_then(|rule| rule.date.as_ref());
    if is_at(column, &["timestamp"]) {
        if let Some(format) = date {
            return Kind::Dated { format: Box::new(format.clone()), of_call: true };
        }
        let numbers = declared.map_or(Some(Numbers::ByMagnitude), ColumnType::numbers);
        if numbers.is_none() {
            warnings.push(warning(&column.name, "stays a time whatever the schema says"));
        }
        return Kind::CallTime(numbers.unwrap_or_default());
    }
    if matches!(kind, FileType::Calls(_)) && OBJECT_PLACES.iter().any(|place| is_at(column, place)) {
        if declared.is_some_and(|declared| declared != ColumnType::Json) || date.is_some() {
            warnings.push(warning(&column.name, "stays a JSON object whatever the schema says"));
        }
        return Kind::Object;
    }
    if stays_text(column, kind) {
        if declared.is_some_and(|declared| declared != ColumnType::String) || date.is_some() {
            let what = "stays text whatever the schema says: it is an id or a name";
            warnings.push(warning(&column.name, what));
        }
        return Kind::Typed(ColumnType::String);
    }
    if let Some(format) = date {
        return Kind::Dated { format: Box::new(format.clone()), of_call: false };
    }
    if is_time {
        let time = declared.filter(|declared| declared.numbers().is_some());
        return Kind::Typed(time.unwrap_or(ColumnType::Time));
    }
    let last = column.path.last().map_or("", String::as_str);
    let is_integration =
        column.path.len() > 1 && column.path.first().is_some_and(|first| first == "integrations");
    match (declared, found) {
        (Some(declared), _) => Kind::Typed(declared),
        _ if TIME_NAMES.contains(&last) => Kind::Typed(ColumnType::Time),
        _ if column.json => Kind::JsonOrText,
        (None, Some(found @ (FoundType::Int | FoundType::Float))) if infer => Kind::Found(found),
        // Booleans have a rule of their own there.
        (None, found) if is_integration => Kind::Integration { inferred: infer && found.is_none() },
        (None, Some(FoundType::Bool)) if infer => Kind::Found(FoundType::Bool),
        (None, None) if infer => Kind::Inferred,
        _ => Kind::Typed(ColumnType::String),
    }
}

/// Whether options say that the cells of each column are times, by the columns' places in `columns`. An option
/// has the name of a column, or the last part of names.
/// Errors: [`FileError`]: two columns have the name of an option but for the case of its letters.
pub(super) fn times(
    options: &CsvOptions,
    columns: &[Column],
    warnings: &mut Vec<Told>,
) -> Result<Vec<bool>, FileError> {
    let mut times = vec![false; columns.len()];
    for name in &options.time_columns {
        let has = |column: &Column, same: &dyn Fn(&str) -> bool| {
            same(&column.name) || column.path.last().is_some_and(|last| same(last))
        };
        let of = |same: &dyn Fn(&str) -> bool| -> Vec<usize> {
            columns.iter().enumerate().filter(|(_, column)| has(column, same)).map(|(at, _)| at).collect()
        };
        let mut found = of(&|other| other == name);
        if found.is_empty() {
            let small = name.to_lowercase();
            found = of(&|other| other.to_lowercase() == small);
            if let [one, other, ..] = found.as_slice() {
                let name_of = |at: &usize| columns.get(*at).map_or("", |column| column.name.as_str());
                return Err(two_fit(name, name_of(one), name_of(other)));
            }
        }
        // The usual names may be named in options without being in every file.
        if found.is_empty() && !TIME_NAMES.contains(&name.as_str()) {
            let what = format!("the file has no column \"{}\", which --time-columns names", shown(name));
            warnings.push(Told::plain(what));
        }
        for at in found {
            if let Some(is_time) = times.get_mut(at) {
                *is_time = true;
            }
        }
    }
    Ok(times)
}

/// Checks that the columns of an object file can be its properties.
/// Errors: [`FileError`]: two would be one property, or one is declared as JSON.
pub(super) fn check_properties(columns: &[Column], said: &[Said<'_>]) -> Result<(), FileError> {
    distinct_properties(columns)?;
    no_json(columns, said)
}

/// Checks that no property is declared as JSON: the properties of an object hold neither lists nor objects.
fn no_json(columns: &[Column], said: &[Said<'_>]) -> Result<(), FileError> {
    let is_json =
        |column: &&Column| said.get(column.index).is_some_and(|said| said.declared == Some(ColumnType::Json));
    match columns.iter().find(is_json) {
        Some(column) => Err(unreadable(format!(
            "--types says that column \"{}\" is json, and properties of objects are not: declare another type, or none",
            shown(&column.name)
        ))),
        None => Ok(()),
    }
}

/// Checks that no two columns become one property: the parts of a name are joined by `_`.
fn distinct_properties(columns: &[Column]) -> Result<(), FileError> {
    let mut seen: HashMap<String, &str> = HashMap::with_capacity(columns.len());
    for column in columns.iter().filter(|column| column.path.len() > 1) {
        let property = column.path.last().cloned().unwrap_or_default();
        if let Some(one) = seen.insert(property.clone(), &column.name) {
            let why = format!("both would be the property \"{}\"", shown(&property));
            return Err(conflict(one, &column.name, &why));
        }
    }
    Ok(())
}
