//! The scheduler's loop: checks the batches and starts a task for each one that is due.

use std::sync::Arc;
use std::time::Duration;

use super::due::{Deadlines, View};
use super::measure;
use crate::delivery::blocking::noted;
use crate::delivery::days::closing::Closing;
use crate::delivery::failures::refusals_and_alarms;
use crate::delivery::make::one_object;
use crate::delivery::resume::Comparison;
use crate::delivery::settings::CHECK_EVERY;
use crate::delivery::shared::Shared;
use crate::delivery::watches::{ClockWatch, LedgerWatch, refresh_gauges};
use crate::planted_bugs::{PlantedPanic, panic_if_planted};

/// How long to rest after a check, for each batch checked. Checking one batch takes well under a microsecond,
/// so however many there are, checking takes at most one per cent of a core.
const REST_PER_BATCH: Duration = Duration::from_micros(100);
/// The longest rest. A kick also waits until the rest ends.
const REST_MAX: Duration = Duration::from_secs(1);

/// Runs until delivery is stopped, or the log has stopped.
pub(in crate::delivery) async fn run(shared: Arc<Shared>) {
    let mut deadlines = Deadlines::default();
    let mut closing = Closing::default();
    let mut stopped = shared.deps.log.stopped();
    let mut clock_watch = ClockWatch::new(shared.deps.clock.wall(), shared.deps.clock.monotonic());
    let mut ledger_watch = LedgerWatch::default();
    let mut comparison = Comparison::default();
    loop {
        panic_if_planted(PlantedPanic::Scheduler);
        comparison.look(&shared);
        note_clock_step(&shared, &mut clock_watch);
        if shared.settings.close_days {
            closing.look(&shared);
        }
        ledger_watch.look(&shared);
        let batches = look(&shared, &mut deadlines);
        refresh_gauges(&shared);
        let rest = REST_PER_BATCH.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)).min(REST_MAX);
        let kicked = async {
            tokio::time::sleep(rest).await;
            shared.kick.notified().await;
        };
        tokio::select! {
            // Polled in order, here and in the other files, so that the same events lead to the same steps,
            // and a stop takes precedence over more work.
            biased;
            () = shared.stop.cancelled() => return,
            gone = stopped.wait_for(Option::is_some) => {
                // The log has stopped: no seal could be noted, so nothing more may be put.
                drop(gone);
                shared.stop.cancel();
                return;
            }
            () = kicked => {}
            () = tokio::time::sleep(CHECK_EVERY.max(rest)) => {}
        }
    }
}

/// Notes that the wall clock was set back, which delivery accepts: the note explains the times in a day's
/// objects.
fn note_clock_step(shared: &Arc<Shared>, watch: &mut ClockWatch) {
    let to = shared.deps.clock.wall();
    if let Some(from) = watch.read(to, shared.deps.clock.monotonic()) {
        // Nothing waits for this note: if the log has stopped, that is reported elsewhere.
        let shared_of_task = Arc::clone(shared);
        shared.tasks.spawn(async move {
            let (shared, log) = (&shared_of_task, Arc::clone(&shared_of_task.deps.log));
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => {}
                _ = noted(shared, None, move || log.note_clock(from, to)) => {}
            }
        });
    }
}

/// Starts a task for each batch that is due and has none. Returns how many batches there are.
fn look(shared: &Arc<Shared>, deadlines: &mut Deadlines) -> usize {
    let asked = shared.requests.asked();
    let log = &shared.deps.log;
    let open = log.open_batches();
    let batches = open.len();
    shared.sizes.forget_closed(&open);
    refusals_and_alarms::judge(shared, &open);
    let view = View::now(shared, &open, asked);
    let deadlines = deadlines.of(&open, |batch| view.deadline(batch));
    for (batch, deadline) in open.into_iter().zip(deadlines) {
        if view.rests(&batch.key) {
            continue;
        }
        let place = || log.location(&batch.key.source, batch.first);
        match view.reason(&batch, deadline, place, || shared.sizes.object_bytes(&batch)) {
            None => measure::begin(shared, &batch),
            Some(reason) => one_object::begin(shared, batch, reason),
        }
    }
    batches
}
