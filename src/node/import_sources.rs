//! The configured sources, as imports find them.

use std::sync::Arc;

use crate::config::Config;
use crate::import::{ImportSources, NoSource, WantedSource};
use crate::sources::{Found, SourceId, SourceLookup};

/// The sources of a configuration.
#[derive(Debug)]
pub struct Configured {
    by_key: Arc<dyn SourceLookup>,
    ids: Vec<SourceId>,
}

impl Configured {
    /// The sources of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            by_key: Arc::new(config.configured_sources()),
            ids: config.sources.iter().map(|source| source.id.clone()).collect(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.ids.iter().map(ToString::to_string).collect()
    }
}

impl ImportSources for Configured {
    fn find(&self, wanted: &WantedSource) -> Result<SourceId, NoSource> {
        match wanted {
            WantedSource::Default => match self.ids.as_slice() {
                [only] => Ok(only.clone()),
                _ => Err(NoSource::Several(self.names())),
            },
            WantedSource::Id(id) if self.ids.contains(id) => Ok(id.clone()),
            WantedSource::Id(id) => Err(NoSource::Unknown(id.clone(), self.names())),
            WantedSource::WriteKey(key) => found(self.by_key.find(key)),
        }
    }
}

/// The result of an import's lookup by write key.
pub(super) fn found(found: Found) -> Result<SourceId, NoSource> {
    match found {
        Found::Source(id) => Ok(id),
        Found::TooManySources => Err(NoSource::TooMany),
        Found::Unknown | Found::Discard => Err(NoSource::UnknownKey),
    }
}
