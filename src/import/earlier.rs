//! Earlier versions of a file, as importer and target speak of them.

use super::file_id::FileId;
use super::prefix::Prefix;

/// A later version of a file, which continues the import of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Version {
    /// The id of this version.
    pub file: FileId,
    /// What this version begins with, as was just verified; `None`: the target knows the version.
    pub prefix: Option<Prefix>,
}

/// What was imported of an earlier version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "earlier", rename_all = "snake_case")]
pub enum Earlier {
    /// This version was found to continue the import of another one.
    Known {
        /// The first version.
        file: FileId,
    },
    /// The import of another version did not reach the end.
    Unfinished {
        /// The first version.
        file: FileId,
        /// How many rows were imported.
        rows: u64,
        /// The header and rows that were imported; `None` if they are not known.
        prefix: Option<Prefix>,
        /// Whether the rows were imported with other options.
        other_options: bool,
    },
}
