//! Finds what the rows of a file become, by the file's name.

use std::fmt;

use crate::call::CallKind;
use crate::import::file_error::{FileError, FileFault};
use crate::object::Collection;
use crate::words::{Told, outside_text_within};

/// What each row of a file becomes. As text: `track`, `objects/rooms`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FileType {
    /// Calls of one kind.
    Calls(CallKind),
    /// Objects of a collection.
    Objects(Collection),
}

impl FileType {
    /// The collection, if rows become objects.
    pub fn collection(&self) -> Option<&Collection> {
        if let Self::Objects(collection) = self { Some(collection) } else { None }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(kind) => f.write_str(kind.name()),
            Self::Objects(collection) => write!(f, "objects/{collection}"),
        }
    }
}

text_form!(FileType, String, file_type);

fn file_type(text: &str) -> Result<FileType, String> {
    match text.strip_prefix("objects/") {
        Some(name) => Collection::new(name).map(FileType::Objects).map_err(|error| error.to_string()),
        None => CallKind::from_name(text).map(FileType::Calls).ok_or_else(|| "unknown type".to_owned()),
    }
}

/// How a person says what the rows of a file become whose name does not: for the advice of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeSaid {
    /// By an option of the command.
    ByOption,
    /// By a variable of the function.
    ByVariable,
    /// Not at all: a job takes it from the name.
    ByNameAlone,
}

impl TypeSaid {
    fn advice(self, option: &str) -> String {
        match self {
            Self::ByOption => format!("or pass --{option}"),
            Self::ByVariable => format!("or set FOREBAY_CSV_{}", option.to_ascii_uppercase()),
            Self::ByNameAlone => {
                "a job takes it from the name alone: store the object under such a name, or import it by an \
                                  [[import]] with a converter"
                    .to_owned()
            }
        }
    }
}

/// The type of a file. `path_or_key` may have folders, or be an entry of an archive:
/// `events.zip!track_1.csv`. The extension does not matter. `collection` is the collection of object files
/// whose names do not show it. Errors: [`FileError`]: the name begins with no type.
pub fn of_name(
    path_or_key: &str,
    collection: Option<&Collection>,
    said: TypeSaid,
) -> Result<FileType, FileError> {
    let name = basename(path_or_key);
    let wrong = |what: String| FileError::new(FileFault::Local, "E-CSV-TYPE", Told::plain(what));
    let shown = outside_text_within(name, usize::MAX);
    let no_type = || {
        wrong(format!(
            "no call type in \"{shown}\": the name must start with identify_, track_, page_, screen_, group_, alias_ or \
             object_<collection>_ ({})",
            said.advice("type")
        ))
    };
    let (kind, rest) = name.split_once('_').ok_or_else(no_type)?;
    if kind != "object" {
        return CallKind::from_name(kind).map(FileType::Calls).ok_or_else(no_type);
    }
    if let Some(collection) = collection {
        return Ok(FileType::Objects(collection.clone()));
    }
    let collection = rest.split(['_', '.']).next().filter(|name| !name.is_empty()).ok_or_else(no_type)?;
    let of_name = Collection::new(collection).map(FileType::Objects);
    of_name.map_err(|error| wrong(format!("\"{shown}\": {error} ({})", said.advice("collection"))))
}

/// The name without folders; the entry's name if the path leads into an archive.
fn basename(path_or_key: &str) -> &str {
    let is_archive = |path: &str| path.to_ascii_lowercase().ends_with(".zip");
    let mut marks = path_or_key.rmatch_indices('!');
    let mark = marks.find(|(at, _)| path_or_key.get(..*at).is_some_and(is_archive));
    let entry = mark.and_then(|(at, _)| path_or_key.get(at + 1..)).unwrap_or(path_or_key);
    entry.rsplit('/').next().unwrap_or(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_begins_with_the_type() {
        let check = |path: &str, kind: CallKind| {
            assert_eq!(of_name(path, None, TypeSaid::ByOption), Ok(FileType::Calls(kind)), "{path}")
        };
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
            let collection = Collection::new(collection).unwrap();
            assert_eq!(of_name(path, None, TypeSaid::ByOption), Ok(FileType::Objects(collection)), "{path}");
            let given = Collection::new("hotel_rooms").unwrap();
            assert_eq!(
                of_name(path, Some(&given), TypeSaid::ByOption),
                Ok(FileType::Objects(given.clone())),
                "{path}"
            );
        };
        check("object_rooms_1.csv", "rooms");
        check("object_rooms_in_hotels.csv", "rooms");
        check("object_rooms.csv", "rooms");
        check("object_rooms.csv.gz", "rooms");
        check("object_rooms", "rooms");
    }

    #[test]
    fn a_type_reads_back_from_its_text() {
        for text in ["track", "alias", "objects/rooms"] {
            let file_type = FileType::try_from(text.to_owned()).unwrap();
            assert_eq!(file_type.to_string(), text);
        }
        for text in ["", "x", "objects/", "objects/A"] {
            assert!(FileType::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(
            of_name("in/object_Rooms_1.csv", None, TypeSaid::ByOption).unwrap_err().to_string(),
            "E-CSV-TYPE: \"object_Rooms_1.csv\": the collection \"Rooms\" must be 1 to 100 of a-z and _, beginning and \
             ending with a letter (or pass --collection)"
        );
    }

    #[test]
    fn a_name_without_a_type_is_an_error() {
        for path in [
            "x.csv", "in/x.csv", "track.csv", "Track_1.csv", "tracks_1.csv", "track_/x.csv", "object_.csv",
            "object__1.csv", "",
        ] {
            assert!(of_name(path, None, TypeSaid::ByOption).is_err(), "{path}");
        }
        assert_eq!(
            of_name("in/x.csv", None, TypeSaid::ByOption).unwrap_err().to_string(),
            "E-CSV-TYPE: no call type in \"x.csv\": the name must start with identify_, track_, page_, screen_, \
             group_, alias_ or object_<collection>_ (or pass --type)"
        );
        for (said, advice) in [
            (TypeSaid::ByVariable, "object_<collection>_ (or set FOREBAY_CSV_TYPE)"),
            (TypeSaid::ByNameAlone, "object_<collection>_ (a job takes it from the name alone: "),
        ] {
            let error = of_name("in/x.csv", None, said).unwrap_err().to_string();
            assert!(error.contains(advice) && !error.contains("--type"), "{error}");
        }
    }
}
