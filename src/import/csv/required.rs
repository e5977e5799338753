//! The columns that each row needs.

use super::header::{Column, is_at};
use super::header_error::shown;
use super::row_error::Needed;
use super::{CsvOptions, FileType, MessageIds};
use crate::call::CallKind;
use crate::import::file_error::FileError;
use crate::words::{Told, first_few, outside_text_within};

/// The most names of a header that an error about a missing column shows.
const NAMES_SHOWN: usize = 10;

/// Columns that may not all be empty.
#[derive(Debug)]
pub(super) struct Requirement {
    /// The field that one of them has.
    pub needed: Needed,
    /// The columns, by their indexes.
    pub columns: Vec<usize>,
}

/// The fields that every call of a kind needs. `user` names the call's user.
fn needed_by(kind: CallKind, user: Needed, strict: bool) -> Vec<Needed> {
    match kind {
        CallKind::Track => vec![Needed::Event, user],
        CallKind::Identify => vec![user],
        CallKind::Page | CallKind::Screen if strict => vec![user, Needed::Name],
        CallKind::Page | CallKind::Screen => vec![user],
        CallKind::Group => vec![Needed::GroupId, Needed::AnyId],
        CallKind::Alias => vec![Needed::PreviousId, Needed::UserId],
    }
}

/// The fields that each row needs, with the columns that can have them. `id_column`: the column that
/// `--id-from` names. Errors: [`FileError`]: no column can have one.
pub(super) fn required(
    (kind, options, ids): (&FileType, &CsvOptions, &MessageIds),
    columns: &[Column],
    (names, id_column): (&[String], Option<usize>),
) -> Result<Vec<Requirement>, FileError> {
    let user = if options.strict { Needed::UserId } else { Needed::AnyId };
    let all = match kind {
        FileType::Objects(_) => vec![Needed::ObjectId],
        FileType::Calls(kind) => needed_by(*kind, user, options.strict),
    };
    let missing = |what: String, needed: String, wanted: &[&str]| {
        let like = names.iter().find_map(|name| {
            let meant = wanted.iter().find(|wanted| loosely(wanted) == loosely(name))?;
            let name = outside_text_within(name, 64);
            Some(format!("; did you mean {} by \"{name}\"?", outside_text_within(meant, 64)))
        });
        let shown = names.iter().map(|name| outside_text_within(name, 64).to_string());
        let columns = first_few(shown, NAMES_SHOWN) + &like.unwrap_or_default();
        let full = format!(
            "{what} needs a column {needed}; the file has {columns} \
             (check the header and --delimiter, or give a column another name with --map COLUMN=NAME; without a header, give all \
             names with --columns)"
        );
        FileError::content("E-CSV-MISSING", Told::masked_as(full, "a column that every row needs is missing"))
    };
    if let (MessageIds::Column(name), None) = (ids, id_column) {
        let needed = format!("\"{}\"", shown(name));
        return Err(missing("--id-from".to_owned(), needed, &[name.trim()]));
    }
    let mut required = Vec::with_capacity(all.len());
    for needed in all {
        let is_one = |column: &&Column| needed.columns().iter().any(|name| is_at(column, &[name]));
        let found: Vec<usize> = columns.iter().filter(is_one).map(|column| column.index).collect();
        if found.is_empty() {
            let (article, kind) = match kind {
                FileType::Objects(_) => ("an", "object"),
                FileType::Calls(kind @ (CallKind::Identify | CallKind::Alias)) => ("an", kind.name()),
                FileType::Calls(kind) => ("a", kind.name()),
            };
            let strictly = if options.strict { " under --strict" } else { "" };
            let what = format!("{article} {kind} file{strictly}");
            return Err(missing(what, needed.columns().join(" or "), needed.columns()));
        }
        required.push(Requirement { needed, columns: found });
    }
    Ok(required)
}

/// A name without what distinguishes its spellings: `USER_ID` and `User Id` become `userid`.
fn loosely(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
