//! Finds the source that imported calls belong to.

use std::fmt;

use crate::sources::SourceId;

/// The source that an importer asks for.
#[derive(Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedSource {
    /// The only source, or the default one of dev mode.
    #[default]
    Default,
    /// The source with this id.
    Id(SourceId),
    /// The source with this write key.
    WriteKey(String),
}

/// The text has no write key: that is a secret.
impl fmt::Debug for WantedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Id(id) => write!(f, "Id({id})"),
            Self::WriteKey(_) => f.write_str("WriteKey(…)"),
        }
    }
}

/// Why a source was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSource {
    /// There are several sources, and none was named.
    #[error("there are several sources ({}): name one with --source", .0.join(", "))]
    Several(Vec<String>),
    /// No source has this id.
    #[error("there is no source {0}; the sources are {list}", list = .1.join(", "))]
    Unknown(SourceId, Vec<String>),
    /// No source has this write key.
    #[error("no source has this write key")]
    UnknownKey,
    /// Another reason, in the words of another process.
    #[error("{0}")]
    Other(String),
    /// Dev mode has reached its limit of sources.
    #[error("there are too many sources")]
    TooMany,
}

/// The sources that calls can be imported into.
pub trait ImportSources: Send + Sync + fmt::Debug {
    /// The source that an importer asks for. Errors: [`NoSource`]: there is no such source.
    fn find(&self, wanted: &WantedSource) -> Result<SourceId, NoSource>;
}
