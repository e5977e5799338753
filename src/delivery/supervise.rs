//! Notices delivery tasks that panic. Their work is restarted after a pause: an unsealed batch like any other
//! batch, a day like any other day, and a sealed object under its key.
//!
//! Each piece of work has one task. A sealed object without a task would wait until the next start, so the
//! pending seals are compared with the tasks under way.

use std::sync::Arc;
use std::time::Duration;

use super::busy_batches::Hold;
use super::put::conflict::raise_conflict;
use super::put::put_object;
use super::shared::Shared;
use super::tasks_under_way::Work;
use crate::alarms::AlarmKind;
use crate::log::PendingSeal;

/// How often the pending seals are compared with the tasks under way.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Starts a task for each seal that an earlier process left without a commit.
pub(super) fn resume_all(shared: &Arc<Shared>) {
    for pending in shared.deps.log.pending_seals() {
        if pending.conflict {
            raise_conflict(shared, &pending);
        }
        resume(shared, pending);
    }
}

/// Supervises the delivery tasks.
#[derive(Debug, Default)]
pub(super) struct Supervision {
    compared: Option<Duration>,
}

impl Supervision {
    /// Raises an alarm for each new panic, and starts a task for each sealed object that has none.
    pub(super) fn look(&mut self, shared: &Arc<Shared>) {
        notice(shared);
        let now = shared.deps.clock.monotonic();
        if self.compared.is_none_or(|compared| now.saturating_sub(compared) >= COMPARE_EVERY) {
            self.compared = Some(now);
            resume_alone(shared);
        }
    }
}

fn notice(shared: &Shared) {
    let now = shared.deps.clock.monotonic();
    let pause = |number| shared.settings.backoff.wait(number, &*shared.deps.random);
    for (work, number) in shared.under_way.new_panics(now, pause) {
        let what = format!(
            "the delivery task panicked (panics in a row: {number}); this is a bug in Forebay; the log shows the panic; the \
             task is restarted after a pause, and nothing is lost"
        );
        shared.deps.alarms.raise(AlarmKind::Task, &work.to_string(), what);
    }
}

fn resume_alone(shared: &Arc<Shared>) {
    let alone = shared.under_way.without_task(shared.deps.log.pending_numbers());
    if alone.is_empty() {
        return;
    }
    let resting = shared.under_way.resting(shared.deps.clock.monotonic());
    for number in alone.into_iter().filter(|number| !resting.contains(&Work::Seal(*number))) {
        if let Some(pending) = shared.deps.log.pending_seal(number) {
            resume(shared, pending);
        }
    }
}

/// Starts a task for a sealed object that has none.
fn resume(shared: &Arc<Shared>, pending: PendingSeal) {
    let PendingSeal { seal, parked, .. } = pending;
    // A parked object holds no frames: its batch can continue.
    let busy = if parked.is_none() { shared.busy.take(&seal.batch) } else { None };
    if parked.is_none() && busy.is_none() {
        // Either the batch's own task has just sealed it, or the object sealed before it must be delivered
        // first.
        return;
    }
    let Some(under_way) = shared.under_way.begin(Work::Seal(seal.number)) else { return };
    // The batch's task may have panicked after the seal, before it learned of the seal. From here on, panics
    // count for the object.
    shared.under_way.forget_panics(&Work::Batch(seal.batch.clone()));
    let shared_of_task = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let (shared, _under_way) = (shared_of_task, under_way);
        let batch = seal.batch.clone();
        let resumed = async {
            let slots = shared.put_locations.slots(&seal.location);
            let hold = match busy {
                Some(busy) => {
                    let place = Arc::clone(&slots.sealed).acquire_owned().await.ok();
                    place.map(|place| Hold::new(busy, place))
                }
                None => None,
            };
            put_object::deliver(&shared, seal, None, hold, None).await
        };
        let outcome = tokio::select! {
            biased;
            () = shared.stop.cancelled() => Ok(()),
            outcome = resumed => outcome,
        };
        if outcome.is_err() {
            tracing::debug!(%batch, "delivery ends: the spool has stopped");
        }
    });
}
