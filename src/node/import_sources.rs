//! The sources that calls are imported into, in dev mode and in serve.

use std::sync::Arc;

use super::dev_sources::DevSources;
use crate::config::Config;
use crate::import::{ImportSources, NoSource, WantedSource};
use crate::sources::{Found, SourceId, SourceLookup};

/// The source of imports in dev mode, if none is named.
const DEV_DEFAULT: &str = "csv";

/// In dev mode every id and every write key is a source.
impl ImportSources for DevSources {
    fn find(&self, wanted: &WantedSource) -> Result<SourceId, NoSource> {
        let key = match wanted {
            WantedSource::Default => DEV_DEFAULT,
            WantedSource::Id(id) => id.as_str(),
            WantedSource::WriteKey(key) => key,
        };
        found(SourceLookup::find(self, key))
    }
}

/// The sources of a configuration.
#[derive(Debug)]
pub struct Configured {
    by_key: Arc<dyn SourceLookup>,
    ids: Vec<SourceId>,
}

impl Configured {
    /// Those of `config`.
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

fn found(found: Found) -> Result<SourceId, NoSource> {
    match found {
        Found::Source(id) => Ok(id),
        Found::TooManySources => Err(NoSource::TooMany),
        Found::Unknown | Found::Discard => Err(NoSource::UnknownKey),
    }
}
