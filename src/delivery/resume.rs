//! Resumes sealed objects that have no task: those that an earlier process left, and those whose task
//! panicked, after a pause. (An unsealed batch and a day are restarted like any other.)
//!
//! A sealed object without a task would wait until the next start, so the pending seals are compared with the
//! tasks under way.

use std::sync::Arc;
use std::time::Duration;

use super::put::put_object::{self, raise_conflict};
use super::shared::Shared;
use super::tasks_under_way::Work;
use crate::log::PendingSeal;

/// How often the pending seals are compared with the tasks under way.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Starts a task for each seal that an earlier process left without a commit.
pub(super) fn resume_all(shared: &Arc<Shared>) {
    for pending in shared.deps.log.pending_seals() {
        if pending.conflict {
            raise_conflict(shared, &pending);
        }
        if shared.deps.log.is_at_hand(pending.seal.number) {
            resume(shared, pending);
        }
    }
}

/// Compares the pending seals with the tasks under way.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    compared: Option<Duration>,
}

impl Comparison {
    /// Starts a task for each sealed object that has none and does not rest.
    pub(super) fn look(&mut self, shared: &Arc<Shared>) {
        let now = shared.deps.clock.monotonic();
        if self.compared.is_some_and(|compared| now.saturating_sub(compared) < COMPARE_EVERY) {
            return;
        }
        self.compared = Some(now);
        let mut alone = shared.deps.log.pending_numbers();
        alone.retain(|number| !shared.delivering.contains(number));
        if alone.is_empty() {
            return;
        }
        let resting = shared.under_way.resting();
        let log = &shared.deps.log;
        let can_begin = |number: &u64| !resting.contains(&Work::Seal(*number)) && log.is_at_hand(*number);
        for number in alone.into_iter().filter(can_begin) {
            if let Some(pending) = shared.deps.log.pending_seal(number) {
                resume(shared, pending);
            }
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
    let Some(taken) = shared.delivering.take(&seal.number) else { return };
    // It may have been stored since it was read, by a task that has ended.
    if shared.deps.log.pending_seal(seal.number).is_none() {
        return;
    }
    // The batch's task may have panicked after the seal, before it learned of the seal. From here on, panics
    // count for the object.
    shared.under_way.forget_panics(&Work::Batch(seal.batch.clone()));
    let shared_of_task = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let (shared, _taken) = (shared_of_task, taken);
        let work = Work::Seal(seal.number);
        let resumed = async {
            let slots = shared.put_locations.slots(&seal.location);
            let hold = match busy {
                Some(busy) => {
                    let place = slots.sealed.take().await;
                    place.map(|place| (busy, place))
                }
                None => None,
            };
            put_object::deliver(&shared, seal, None, hold, None).await
        };
        shared.run(work, resumed).await;
    });
}
