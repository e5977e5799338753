//! Gives the slots: decides by the states of all jobs that are open, again after each change.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::counting::count_jobs;
use super::shared::Shared;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::EventError;
use crate::jobs::job::slots::{Candidate, slots};
use crate::jobs::job::transition::Event;
use crate::lock::lock;
use crate::node::jobs::job_handle::JobHandle;
use crate::words::with_causes;

/// How often slots are decided although no job has said that it changed.
const DECIDE_EVERY: Duration = Duration::from_secs(1);

/// Gives slots until the server ends.
pub(super) async fn give_slots(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.turns.changed.notified() => {}
            () = sleep(DECIDE_EVERY) => {}
            () = shared.stop.cancelled() => return,
        }
        let deciding = Arc::clone(&shared);
        // Nobody else gives a slot, so what is free stays free meanwhile.
        if let Err(error) = spawn_blocking(move || decide(&deciding)).await {
            tracing::error!(%error, "slots could not be decided; they are decided again in a second");
        }
    }
}

fn decide(shared: &Shared) {
    let handles = lock(&shared.known).handles();
    let open: Vec<(Candidate, JobHandle)> =
        handles.into_iter().map(|handle| (handle.candidate(), handle)).collect();
    let now: Vec<Candidate> = open.iter().map(|(candidate, _)| *candidate).collect();
    count_jobs(&shared.settings.metrics, &lock(&shared.known), &now);
    let wanting = open.iter().filter(|(_, handle)| !handle.is_resting());
    let candidates: Vec<Candidate> = wanting.map(|(candidate, _)| *candidate).collect();
    let decided = slots(&candidates, shared.settings.active_jobs);
    let change = |id: JobId, event: &Event| {
        let Some((_, handle)) = open.iter().find(|(candidate, _)| candidate.id == id) else { return };
        match handle.apply(event, shared.settings.clock.wall()) {
            Ok(state) => tracing::info!(job = %id, status = %state.status, "the job has changed"),
            // It has changed meanwhile, and told of it.
            Err(EventError::Refused(_)) => {}
            // It is in force once the disk has space. The job waits for that, and says so.
            Err(EventError::Log(error)) if error.is_no_space() => {}
            Err(EventError::Log(error)) => {
                tracing::error!(job = %id, error = with_causes(&error), "a slot could not be given or taken");
            }
        }
    };
    decided.preempt.into_iter().for_each(|id| change(id, &Event::Preempted));
    decided.start.into_iter().for_each(|id| change(id, &Event::SlotGiven));
}
