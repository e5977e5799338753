//! Knows which sources are no longer configured, and since when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::sources::SourceId;

/// The time after its removal in which a source's requests may still be in flight. The longest request takes
/// half of that.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// The name under which the counts of `sources` forgotten sources are shown as one. No source can have it.
pub(super) fn removed_name(sources: u64) -> String {
    format!("({sources} removed)")
}

/// The configured sources, and the removed ones that are not forgotten yet.
#[derive(Debug, Default)]
pub(super) struct RemovedSources {
    /// The configured sources, once they are known. In dev mode they never are: a write key may come again at
    /// any time.
    configured: Option<BTreeSet<SourceId>>,
    left: BTreeMap<SourceId, Left>,
}

/// A source that is no longer configured.
#[derive(Debug)]
struct Left {
    /// When the removal was noticed, on the monotonic clock.
    since: Duration,
    /// The last position of the log at the time when nothing of the source could come any more.
    through: Option<u64>,
}

impl RemovedSources {
    /// The configured sources, if they are known.
    pub(super) fn configured(&self) -> Option<&BTreeSet<SourceId>> {
        self.configured.as_ref()
    }

    /// Sets the configured sources.
    pub(super) fn configure(&mut self, sources: BTreeSet<SourceId>) {
        self.left.retain(|source, _| !sources.contains(source));
        self.configured = Some(sources);
    }

    /// Keeps sources that are about to be configured.
    pub(super) fn keep(&mut self, sources: BTreeSet<SourceId>) {
        self.left.retain(|source, _| !sources.contains(source));
        self.configured.get_or_insert_default().extend(sources);
    }

    /// Finds the sources from which nothing more can come. `known` has all sources that are not configured.
    /// At the time `now`, the log ends at `end`, and functions have finished everything up to `finished`.
    pub(super) fn gone(
        &mut self,
        known: &BTreeSet<SourceId>,
        now: Duration,
        (end, finished): (u64, u64),
    ) -> BTreeSet<SourceId> {
        self.left.retain(|source, _| known.contains(source));
        let mut gone = BTreeSet::new();
        for source in known {
            let left = self.left.entry(source.clone()).or_insert(Left { since: now, through: None });
            if now.saturating_sub(left.since) >= UNDER_WAY && finished >= *left.through.get_or_insert(end) {
                gone.insert(source.clone());
            }
        }
        gone
    }

    /// Forgets that `sources` were ever configured.
    pub(super) fn forget(&mut self, sources: &BTreeSet<SourceId>) {
        self.left.retain(|source, _| !sources.contains(source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(names: &[&str]) -> BTreeSet<SourceId> {
        names.iter().map(|name| SourceId::new(name).unwrap()).collect()
    }

    #[test]
    fn a_source_is_gone_once_its_requests_have_ended_and_functions_have_finished_its_calls() {
        let mut removed = RemovedSources::default();
        removed.configure(sources(&["stays"]));
        let mut check = |seconds: u64, known: &[&str], ends: (u64, u64), expected: &[&str]| {
            let gone = removed.gone(&sources(known), Duration::from_secs(seconds), ends);
            assert_eq!(gone, sources(expected), "{seconds}");
        };
        check(0, &["a"], (10, 10), &[]);
        check(59, &["a", "b"], (20, 20), &[]);
        // What comes later does not matter, whoever is late with it.
        check(60, &["a", "b"], (30, 29), &[]);
        check(65, &["a", "b"], (1_000, 30), &["a"]);
        check(119, &["b"], (2_000, u64::MAX), &["b"]);
        // One that came back and left again counts from then on.
        check(120, &["a"], (2_000, u64::MAX), &[]);
    }

    #[test]
    fn a_source_that_is_configured_again_is_not_gone() {
        let mut removed = RemovedSources::default();
        removed.configure(sources(&["a"]));
        let at = Duration::from_secs;
        removed.gone(&sources(&["b"]), at(0), (0, 0));
        removed.keep(sources(&["b"]));
        assert_eq!(removed.configured(), Some(&sources(&["a", "b"])));
        removed.configure(sources(&["a"]));
        assert_eq!(removed.gone(&sources(&["b"]), at(100), (0, 0)), sources(&[]));
        assert_eq!(removed.gone(&sources(&["b"]), at(160), (0, 0)), sources(&["b"]));
    }
}
