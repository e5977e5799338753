//! The names of sets of rejected rows.

use std::path::Path;

use crate::import::file_id::FileId;
use crate::import::rejects_file::description_of;

/// A set of rejected rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Set {
    pub(in crate::import) file: FileId,
    /// How often the file began at its first row.
    pub(in crate::import) generation: u64,
    /// How many rounds were made over its rejected rows.
    pub(in crate::import) rounds: u32,
}

impl Set {
    /// The name of the set. A pass knows no round, and begins its file anew with each generation.
    pub(in crate::import) fn name(self) -> String {
        let Self { file, generation, rounds } = self;
        if rounds == 0 { file.to_string() } else { format!("{file}.again-{generation}-{rounds}") }
    }

    /// The name in a store, where no set takes the place of another.
    pub(in crate::import) fn name_in_store(self) -> String {
        let Self { file, generation, rounds } = self;
        if (generation, rounds) == (0, 0) {
            file.to_string()
        } else {
            format!("{file}.again-{generation}-{rounds}")
        }
    }

    /// The file whose rejected rows a file with this path has; `None`: it has none.
    pub(in crate::import) fn named(path: &Path) -> Option<FileId> {
        let name = path.file_name()?.to_str()?.strip_suffix(".ndjson")?;
        name.split_once(".again-").map_or(name, |(file, _)| file).parse().ok()
    }

    /// The set after the next round.
    pub(in crate::import) fn next(self) -> Self {
        Self { rounds: self.rounds.saturating_add(1), ..self }
    }
}

/// Removes a set that nothing needs any more. Waits for the disk.
pub(in crate::import) fn remove(path: &Path) {
    for path in [path.to_owned(), description_of(path)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                // It only takes room.
                tracing::warn!(%error, "{} cannot be removed; nothing needs it any more", path.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_set_has_a_name_of_its_own() {
        let file: FileId = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        let first = Set { file, generation: 0, rounds: 0 };
        assert_eq!(first.name(), "unw446h7bvkguk7rnc2jjbggs4");
        assert_eq!(first.name_in_store(), first.name());
        let anew = Set { generation: 1, ..first };
        assert_eq!(anew.name(), first.name(), "a pass keeps rows there");
        assert_eq!(anew.name_in_store(), "unw446h7bvkguk7rnc2jjbggs4.again-1-0");
        assert_eq!(anew.next().name(), "unw446h7bvkguk7rnc2jjbggs4.again-1-1");
        for set in [first, anew, anew.next()] {
            let path = PathBuf::from(format!("/x/{}.ndjson", set.name()));
            assert_eq!(Set::named(&path), Some(file));
            assert_eq!(Set::named(&description_of(&path)), None);
        }
    }
}
