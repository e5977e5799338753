//! Forgets sources that are no longer configured.
//!
//! A source is forgotten once it has not been configured for a minute, no call of it waits for the bucket or
//! for a function, no import of it is open, and its last day is closed. Then the log, delivery, intake, the
//! metrics and the status forget the source; its counts stay in sums (decision 0192).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::logs_view::REFUSED;
use super::removed_sources::removed_name;
use super::view::NodeView;
use crate::call::RejectReason;
use crate::import::Importer;
use crate::ingest::Ingest;
use crate::lock::{read, write};
use crate::log::{Rows, Stopped};
use crate::sources::SourceId;
use crate::tasks::joined;

/// The interval at which the node looks for sources to forget.
const EVERY: Duration = Duration::from_secs(5);

/// Looks for sources to forget at intervals, until the node stops.
pub(super) async fn keep_forgetting(
    view: Arc<NodeView>,
    (ingest, importer): (Arc<Ingest>, Arc<Importer>),
    stop: CancellationToken,
) {
    let mut steps = tokio::time::interval(EVERY);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(steps.tick()).await.is_some() {
        let (view, ingest, importer) = (Arc::clone(&view), Arc::clone(&ingest), Arc::clone(&importer));
        let forgotten = tokio::task::spawn_blocking(move || view.forget_removed(&ingest, &importer)).await;
        match joined(forgotten) {
            // A refused note is retried at the next interval; if the log has stopped, the process ends.
            Some(Err(Stopped)) => tracing::debug!("no source is forgotten: the log takes no note"),
            Some(Ok(())) => {}
            None => return,
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
        // The lock stays held: no source is configured while others are forgotten, and nobody adds up
        // sources.
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
        removed.forget(&forgotten);
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
