//! A file of an import that is not done.

use serde::{Deserialize, Serialize};

/// A file that is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileNotDone {
    /// The file's name.
    pub name: String,
    /// What became of it, such as `poison`.
    pub became: String,
    /// The last error, with its code.
    pub error: Option<String>,
}
