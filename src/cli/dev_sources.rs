//! Dev mode's sources: every write key is its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::object::Destination;
use crate::sources::{Found, SourceId, SourceLookup, WriteKeyHash};
use crate::spool::Outlet;

/// Sources given out at most; the next write key gets 401 `too_many_sources`.
pub const DEV_SOURCES_MAX: usize = 1_000;

/// Takes any write key. The source id is the key itself where it is a legal id, else `k-` and 16 digits of its hash.
#[derive(Debug)]
pub struct DevSources {
    outlet: Outlet,
    destination: Destination,
    known: Mutex<HashMap<WriteKeyHash, SourceId>>,
}

impl DevSources {
    /// None yet; each new one's frames go to `destination`.
    pub fn new(outlet: Outlet, destination: Destination) -> Self {
        Self { outlet, destination, known: Mutex::default() }
    }
}

impl SourceLookup for DevSources {
    fn find(&self, write_key: &str) -> Found {
        let Some(hash) = WriteKeyHash::of(write_key) else { return Found::Unknown };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.get(&hash) {
            return Found::Source(id.clone());
        }
        if known.len() >= DEV_SOURCES_MAX {
            return Found::TooManySources;
        }
        let hashed = || SourceId::new(&format!("k-{}", hash.hex16()));
        let Ok(id) = SourceId::new(write_key).or_else(|_| hashed()) else { return Found::Unknown };
        // Once for each new key: where its frames go is noted before the first of them.
        if self.outlet.set_destinations([(id.clone(), self.destination.clone())]).is_ok() {
            known.insert(hash, id.clone());
        }
        // A spool that has stopped refuses the append, with its own answer.
        Found::Source(id)
    }

    fn is_taken(&self, write_key: &str) -> bool {
        WriteKeyHash::of(write_key).is_some()
    }

    fn is_source(&self, write_key: &str) -> bool {
        self.is_taken(write_key)
    }
}
