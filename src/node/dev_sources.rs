//! Makes a source of each write key in dev mode.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::import_sources::found;
use crate::import::{ImportSources, NoSource, WantedSource};
use crate::lock::lock;
use crate::log::SetLocations;
use crate::object::S3Location;
use crate::sources::{Found, SourceId, SourceLookup, WriteKeyHash};

/// The most sources. At the limit, an unknown write key gets 401 `too_many_sources`.
pub const DEV_SOURCES_MAX: usize = 1_000;
/// The source of imports in dev mode, if none is named.
const DEV_DEFAULT: &str = "csv";

/// The sources of dev mode: any write key is accepted. The source id is the key itself if it is a valid id;
/// otherwise it is `k-` and 16 digits of the key's hash.
#[derive(Debug)]
pub struct DevSources {
    /// Where the bucket of each new source is recorded, and that bucket.
    recorded: Option<(Arc<dyn SetLocations>, S3Location)>,
    known: Mutex<HashMap<WriteKeyHash, SourceId>>,
}

impl DevSources {
    /// A value without sources; the frames of each new source go to `location`.
    pub fn new(locations: Arc<dyn SetLocations>, location: S3Location) -> Self {
        Self { recorded: Some((locations, location)), known: Mutex::default() }
    }

    /// A value without sources, in front of a log whose writers have a bucket for every source.
    #[cfg(feature = "kafka")]
    pub fn of_collector() -> Self {
        Self { recorded: None, known: Mutex::default() }
    }
}

impl SourceLookup for DevSources {
    fn find(&self, write_key: &str) -> Found {
        let Some(hash) = WriteKeyHash::of(write_key) else { return Found::Unknown };
        let mut known = lock(&self.known);
        if let Some(id) = known.get(&hash) {
            return Found::Source(id.clone());
        }
        if known.len() >= DEV_SOURCES_MAX {
            return Found::TooManySources;
        }
        let hashed = || SourceId::new(&format!("k-{}", hash.hex16()));
        let Ok(id) = SourceId::new(write_key).or_else(|_| hashed()) else { return Found::Unknown };
        // A new key has its bucket recorded once, before its first frame.
        let is_recorded = self
            .recorded
            .as_ref()
            .is_none_or(|(locations, to)| locations.set_locations(vec![(id.clone(), to.clone())]).is_ok());
        if is_recorded {
            known.insert(hash, id.clone());
        }
        // A stopped spool gives its own answer to the append.
        Found::Source(id)
    }

    fn is_taken(&self, write_key: &str) -> bool {
        WriteKeyHash::of(write_key).is_some()
    }

    fn is_source(&self, write_key: &str) -> bool {
        self.is_taken(write_key)
    }

    fn known(&self, write_key: &str) -> Option<SourceId> {
        lock(&self.known).get(&WriteKeyHash::of(write_key)?).cloned()
    }
}

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
