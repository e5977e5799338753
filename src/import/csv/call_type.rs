//! What the rows of a file become, by the file's name.

use crate::call::CallKind;
use crate::words::outside_text_within;

/// What each row of a file becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Calls of one kind.
    Calls(CallKind),
    /// Objects of the collection with this name, which is not checked.
    Objects(String),
}

/// A name that says no type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "E-CSV-TYPE: no call type in \"{}\": the name must start with identify_, track_, page_, screen_, group_, \
     alias_ or object_<collection>_ (or pass --type)",
    outside_text_within(.name, usize::MAX)
)]
pub struct NoType {
    /// The file's name, without folders.
    pub name: String,
}

/// The type of a file. `path_or_key` may have folders, or be an entry of an archive: `events.zip!track_1.csv`.
/// The extension does not matter.
///
/// # Errors
/// [`NoType`] if the name begins with no type.
pub fn of_name(path_or_key: &str) -> Result<FileType, NoType> {
    let name = basename(path_or_key);
    let no_type = || NoType { name: name.to_owned() };
    let (kind, rest) = name.split_once('_').ok_or_else(no_type)?;
    if kind == "object" {
        let collection = rest.split(['_', '.']).next().unwrap_or_default();
        if collection.is_empty() {
            return Err(no_type());
        }
        return Ok(FileType::Objects(collection.to_owned()));
    }
    CallKind::from_name(kind).map(FileType::Calls).ok_or_else(no_type)
}

/// The name without folders, of an entry if the path leads into an archive.
fn basename(path_or_key: &str) -> &str {
    let entry = path_or_key
        .rmatch_indices('!')
        .find(|(at, _)| {
            path_or_key.get(..*at).is_some_and(|archive| archive.to_ascii_lowercase().ends_with(".zip"))
        })
        .and_then(|(at, _)| path_or_key.get(at + 1..))
        .unwrap_or(path_or_key);
    entry.rsplit('/').next().unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_begins_with_the_type() {
        let check =
            |path: &str, kind: CallKind| assert_eq!(of_name(path), Ok(FileType::Calls(kind)), "{path}");
        check("identify_1.csv", CallKind::Identify);
        check("track_1.csv", CallKind::Track);
        check("page_YYYY.csv", CallKind::Page);
        check("screen_a_b.tsv.gz", CallKind::Screen);
        check("in/2019/group_.txt", CallKind::Group);
        check("s3://b/a!b/alias_1.csv.zst", CallKind::Alias);
        check("track_1.zip!page_1.csv", CallKind::Page);
        check("in/all.ZIP!deep/page_1!.csv", CallKind::Page);
        check("track_1!.csv", CallKind::Track);
    }

    #[test]
    fn an_object_file_names_its_collection() {
        let check = |path: &str, collection: &str| {
            assert_eq!(of_name(path), Ok(FileType::Objects(collection.to_owned())), "{path}");
        };
        check("object_rooms_1.csv", "rooms");
        check("object_rooms_in_hotels.csv", "rooms");
        check("object_rooms.csv", "rooms");
        check("object_rooms.csv.gz", "rooms");
        check("object_rooms", "rooms");
    }

    #[test]
    fn a_name_without_a_type_is_an_error() {
        for path in [
            "x.csv",
            "in/x.csv",
            "track.csv",
            "Track_1.csv",
            "tracks_1.csv",
            "track_/x.csv",
            "object_.csv",
            "object__1.csv",
            "",
        ] {
            assert!(of_name(path).is_err(), "{path}");
        }
        assert_eq!(
            of_name("in/x.csv").unwrap_err().to_string(),
            "E-CSV-TYPE: no call type in \"x.csv\": the name must start with identify_, track_, page_, screen_, \
             group_, alias_ or object_<collection>_ (or pass --type)"
        );
    }
}
