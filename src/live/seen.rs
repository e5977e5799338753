//! What was seen of each source: when it last sent something, and which SDKs it uses.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pace::QUIET_AFTER;
use crate::lock::lock;
use crate::time::{UnixMillis, whole_millis};

/// The most SDKs that are kept for a source.
pub const LIBRARIES_MAX: usize = 16;
/// The longest name and version of an SDK, in bytes.
const NAME_MAX: usize = 100;
/// Stands for a time that has not come yet.
const NEVER: i64 = i64::MIN;

/// An SDK that was seen in a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Library {
    /// `context.library.name`.
    pub name: String,
    /// `context.library.version`; empty if there is none.
    pub version: String,
    /// When it was last seen.
    #[serde(rename = "last_seen_ms")]
    pub last_seen: UnixMillis,
}

/// What was seen of one source.
#[derive(Debug)]
pub struct SeenSource {
    last_received: AtomicI64,
    /// Monotonic milliseconds, and one; 0 before the first sample.
    last_sampled: AtomicU64,
    /// The last one first.
    libraries: Mutex<VecDeque<Library>>,
}

impl Default for SeenSource {
    fn default() -> Self {
        Self {
            last_received: AtomicI64::new(NEVER),
            last_sampled: AtomicU64::new(0),
            libraries: Mutex::default(),
        }
    }
}

impl SeenSource {
    /// Notes that a request was received.
    pub fn received(&self, at: UnixMillis) {
        self.last_received.store(at.0, Ordering::Relaxed);
    }

    /// When a request was last received, since the process started.
    pub fn last_received(&self) -> Option<UnixMillis> {
        Some(self.last_received.load(Ordering::Relaxed)).filter(|at| *at != NEVER).map(UnixMillis)
    }

    /// Whether nothing was sampled lately.
    pub(super) fn is_quiet(&self, now: Duration) -> bool {
        match self.last_sampled.load(Ordering::Relaxed) {
            0 => true,
            at => whole_millis(now).saturating_sub(at - 1) >= whole_millis(QUIET_AFTER),
        }
    }

    pub(super) fn sampled(&self, now: Duration) {
        self.last_sampled.store(whole_millis(now).saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn saw(&self, (name, version): (&str, &str), at: UnixMillis) {
        // They are shown where personal data is hidden, and the client writes them.
        if ![name, version].into_iter().all(is_of_an_sdk) {
            return;
        }
        let mut libraries = lock(&self.libraries);
        let known = libraries.iter().position(|known| known.name == name && known.version == version);
        let mut library = known.and_then(|index| libraries.remove(index)).unwrap_or_else(|| Library {
            name: name.to_owned(),
            version: version.to_owned(),
            last_seen: at,
        });
        library.last_seen = at;
        libraries.push_front(library);
        libraries.truncate(LIBRARIES_MAX);
    }

    /// The SDKs seen in samples, the last one first.
    pub fn libraries(&self) -> Vec<Library> {
        lock(&self.libraries).iter().cloned().collect()
    }
}

/// Whether a text could be the name or the version of an SDK: `@segment/analytics-node`, `4.1.0-beta.2+abc`.
pub(super) fn is_of_an_sdk(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/._+- ".contains(c);
    // An `@` only begins the scope of a package, so an e-mail address is none.
    text.len() <= NAME_MAX && text.strip_prefix('@').unwrap_or(text).chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sdks_are_kept() {
        let seen = SeenSource::default();
        assert_eq!((seen.last_received(), seen.libraries()), (None, Vec::new()));
        for version in 0..20 {
            seen.saw(("node", &version.to_string()), UnixMillis(version));
        }
        seen.saw(("node", "7"), UnixMillis(30));
        for unlikely in [&"x".repeat(NAME_MAX + 1), "ann@example.com", "{\"a\":1}", "Zoë"] {
            seen.saw((unlikely, ""), UnixMillis(31));
        }
        let libraries = seen.libraries();
        assert_eq!(libraries.len(), LIBRARIES_MAX);
        assert_eq!((libraries[0].version.as_str(), libraries[0].last_seen), ("7", UnixMillis(30)));
        assert_eq!(libraries[1].version, "19");
    }

    #[test]
    fn a_source_is_quiet_before_its_first_sample_and_a_second_after_the_last() {
        let (seen, at) = (SeenSource::default(), Duration::from_millis);
        assert!(seen.is_quiet(at(0)));
        seen.sampled(at(0));
        assert!(!seen.is_quiet(at(999)) && seen.is_quiet(at(1_000)));
    }
}
