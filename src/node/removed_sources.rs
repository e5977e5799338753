//! Forgets sources that are no longer configured.
//!
//! A source is forgotten once it has not been configured for a minute, no call of it waits for the bucket or for a function, no
//! import of it is open, and its last day is closed. Then the log, delivery, intake, the metrics and the status forget it; its
//! counts stay in sums (decision 0192).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::view::{NodeView, REFUSED};
use crate::call::RejectReason;
use crate::import::Importer;
use crate::ingest::Ingest;
use crate::lock::{read, write};
use crate::log::{Rows, Stopped};
use crate::sources::SourceId;

/// How often the node looks for sources to forget.
const EVERY: Duration = Duration::from_secs(5);
/// How long after its removal a source's requests may still be under way. The longest takes half of that.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// The name under which the counts of `sources` forgotten sources are shown as one. No source can have it.
pub(super) fn removed_name(sources: u64) -> String {
    format!("({sources} removed)")
}

/// Which sources are configured, and which no longer are but are not forgotten.
#[derive(Debug, Default)]
pub(super) struct RemovedSources {
    /// `None` until it is known. In dev mode it never is: a write key may come again at any time.
    configured: Option<BTreeSet<SourceId>>,
    left: BTreeMap<SourceId, Left>,
}

/// A source that is no longer configured.
#[derive(Debug)]
struct Left {
    /// When this was noticed, on the monotonic clock.
    since: Duration,
    /// The last position of the log when nothing of it could come any more.
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

    /// Finds the sources from which nothing more can come. `known` are all sources that are not configured. At time `now`, the
    /// log ends at `end`, and functions have finished everything up to `finished`.
    fn gone(
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
}

/// Looks for sources to forget, again and again.
pub(super) async fn keep_forgetting(
    view: Arc<NodeView>,
    (ingest, importer): (Arc<Ingest>, Arc<Importer>),
    stop: CancellationToken,
) {
    let mut steps = tokio::time::interval(EVERY);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = steps.tick() => {}
        }
        let (view, ingest, importer) = (Arc::clone(&view), Arc::clone(&ingest), Arc::clone(&importer));
        let forgotten = tokio::task::spawn_blocking(move || view.forget_removed(&ingest, &importer)).await;
        match forgotten {
            // It is tried again; if the log has stopped, the process ends.
            Ok(Err(Stopped)) => tracing::debug!("no source is forgotten: the log takes no note"),
            Ok(Ok(())) => {}
            // So that the owner of this task notices.
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Err(_cancelled) => return,
        }
    }
}

impl NodeView {
    /// Forgets the removed sources that have nothing waiting.
    fn forget_removed(&self, ingest: &Ingest, importer: &Importer) -> Result<(), Stopped> {
        let known = {
            let removed = read(&self.removed);
            let Some(configured) = removed.configured() else { return Ok(()) };
            let importing = importer.open_sources();
            self.log.known_sources(&|source| !configured.contains(source) && !importing.contains(source))
        };
        // No source is configured while others are forgotten, and nobody adds up sources.
        let mut removed = write(&self.removed);
        let is_configured = |source: &SourceId| removed.configured().is_some_and(|all| all.contains(source));
        let known: BTreeSet<SourceId> = known.into_iter().filter(|source| !is_configured(source)).collect();
        let ends = (self.follow.durable_through(), self.finished_through());
        let gone = removed.gone(&known, self.clock.monotonic(), ends);
        if gone.is_empty() {
            return Ok(());
        }
        let forgotten = self.log.forget(&gone)?;
        if forgotten.is_empty() {
            return Ok(());
        }
        forgotten.iter().for_each(|source| ingest.forget(source));
        self.delivery.forget(&forgotten);
        let name = removed_name(self.log.ledger(Rows::None).removed.sources);
        let reasons: Vec<&'static str> =
            RejectReason::ALL.into_iter().map(RejectReason::slug).chain(REFUSED).collect();
        self.metrics.forget(forgotten.iter().map(SourceId::as_str), &name, &reasons);
        removed.left.retain(|source, _| !forgotten.contains(source));
        tracing::info!(
            sources = forgotten.len(),
            "removed sources that have nothing waiting are forgotten; their counts stay in the sums"
        );
        Ok(())
    }

    /// The position up to which every function of every destination has finished all calls.
    fn finished_through(&self) -> u64 {
        let Some(destinations) = self.destinations.get() else { return u64::MAX };
        let shown = destinations.shown();
        let lanes = shown.values().flat_map(|shown| shown.lanes.values());
        lanes.map(|lane| lane.finished_through()).min().unwrap_or(u64::MAX)
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
