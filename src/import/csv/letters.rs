//! Finds names of a header that have a meaning but for the case of their letters: `Timestamp`, `USERID`,
//! `Properties.plan`.

use std::collections::{HashMap, HashSet};

use super::FileType;
use super::header_error::{shown, warning};
use super::path;
use super::said::two_fit;
use crate::call::CallKind;
use crate::import::file_error::FileError;
use crate::words::Told;

/// The first parts of names that are objects of every call.
const ROOTS: [&str; 4] = ["properties", "traits", "context", "integrations"];

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

/// The names that columns are read under, by those that stand in the header or that `--map` gives. A column
/// that has a name with a meaning but for the case of its letters is read under that name, unless another one
/// has it. Errors: [`FileError`]: two columns could be meant.
pub(super) fn read_as(
    written: &[&str],
    kind: &FileType,
    warnings: &mut Vec<Told>,
) -> Result<Vec<String>, FileError> {
    let exact: HashSet<&str> = written.iter().copied().collect();
    let mut taken: HashMap<&str, &str> = HashMap::new();
    let mut names = Vec::with_capacity(written.len());
    for name in written {
        let found = match meant(name, kind) {
            Some(Meant::Root(root)) => Some(format!("{root}{}", name.get(root.len()..).unwrap_or_default())),
            Some(Meant::Name(meant)) if exact.contains(meant) => None,
            Some(Meant::Name(meant)) => match taken.insert(meant, *name) {
                Some(other) => return Err(two_fit(meant, other, name)),
                None => Some(meant.to_owned()),
            },
            None => None,
        };
        if let Some(found) = &found {
            let what = format!("is read as \"{}\": only the case of its letters differs", shown(found));
            let masked = "a column is read as one that differs only in the case of its letters";
            warnings.push(Told::masked_as(warning(name, &what).full(), masked));
        }
        names.push(found.unwrap_or_else(|| (*name).to_owned()));
    }
    Ok(names)
}

enum Meant {
    /// The name begins with this object.
    Root(&'static str),
    /// The name is this one.
    Name(&'static str),
}

/// What a name means that differs from it only in the case of its letters.
fn meant(name: &str, kind: &FileType) -> Option<Meant> {
    let is_other = |first: &str, known: &str| first != known && first.eq_ignore_ascii_case(known);
    let is_of_calls = matches!(kind, FileType::Calls(_));
    if is_of_calls {
        let parts = path::parts(name)?;
        let first = parts.first()?;
        if let Some(root) = ROOTS.into_iter().find(|root| is_other(first, root)) {
            return Some(Meant::Root(root));
        }
    }
    meaningful(kind).iter().copied().find(|known| is_other(name, known)).map(Meant::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: CallKind, written: &[&str]) -> Result<Vec<String>, String> {
        let (kind, mut warnings) = (FileType::Calls(kind), Vec::new());
        let names = read_as(written, &kind, &mut warnings).map_err(|error| error.to_string())?;
        let changed = names.iter().zip(written).filter(|(name, written)| name != *written).count();
        assert_eq!(warnings.len(), changed, "{warnings:?}");
        Ok(names)
    }

    #[test]
    fn a_name_in_other_letters_is_read_as_the_one_that_is_meant() {
        let check = |kind: CallKind, written: &[&str], expected: &[&str]| {
            assert_eq!(read(kind, written).unwrap(), expected);
        };
        check(CallKind::Track, &["USERID", "Event", "Timestamp"], &["userId", "event", "timestamp"]);
        check(CallKind::Page, &["TIMESTAMP", "Name"], &["timestamp", "name"]);
        check(CallKind::Track, &["MessageID", "anonymousid"], &["messageId", "anonymousId"]);
        check(CallKind::Track, &["Properties.Plan", "CONTEXT"], &["properties.Plan", "context"]);
        check(CallKind::Group, &["GroupID", "Traits.a"], &["groupId", "traits.a"]);
        // A name that means nothing here, and one beside the right one.
        for same in [
            &["userId", "Name", "Event date", "properties.Timestamp"][..],
            &["timestamp", "Timestamp", "TIMESTAMP"],
        ] {
            check(CallKind::Track, same, same);
        }
        let rooms = FileType::try_from("objects/rooms".to_owned()).unwrap();
        let names = read_as(&["ID", "Timestamp", "Properties"], &rooms, &mut Vec::new()).unwrap();
        assert_eq!(names, ["id", "Timestamp", "Properties"]);
    }

    #[test]
    fn two_columns_that_could_be_meant_are_both_named() {
        let error = read(CallKind::Track, &["Timestamp", "a", "TIMESTAMP"]).unwrap_err();
        assert!(
            error.starts_with(
                "E-CSV-HEADER: columns \"Timestamp\" and \"TIMESTAMP\" both differ from \"timestamp\" only in the case"
            ),
            "{error}"
        );
    }
}
