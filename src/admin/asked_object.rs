//! One object that an import of a bucket is to import now, and what became of it.

use form_urlencoded::Serializer;
use serde::{Deserialize, Serialize};

use crate::sources::SourceId;

/// The longest time for one object, in milliseconds: a day.
pub const WITHIN_MS_MAX: u64 = 86_400_000;

/// An object that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedObject {
    /// The import's name.
    pub name: SourceId,
    /// The bucket, which must be that of the import.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version that must be the current one.
    pub version: Option<String>,
    /// How long it may take, in milliseconds. What is not finished then goes on when it is asked for again.
    pub within_ms: u64,
}

impl AskedObject {
    /// It as the query of a request.
    pub fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("bucket", &self.bucket).append_pair("key", &self.key);
        self.version.iter().for_each(|version| _ = query.append_pair("version", version));
        query.append_pair("within_ms", &self.within_ms.to_string());
        query.finish()
    }
}

/// What became of an object, with a text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "text", rename_all = "snake_case")]
pub enum ObjectImported {
    /// It is imported, or nothing was to be done.
    Succeeded(String),
    /// It may be imported later.
    TemporaryFailure(String),
    /// It cannot be imported before a person has changed something.
    PermanentFailure(String),
    /// The import is paused, so nothing was tried.
    Paused(String),
}
