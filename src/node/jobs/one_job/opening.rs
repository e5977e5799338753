//! Opens the log of a job: at once with what its tasks need, or to wait for its slot.

use crate::disk::Disk;
use crate::jobs::attempts::peek::peek;
use crate::jobs::attempts::replay::Replayed;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::LiveState;
use crate::jobs::job::status::Status;
use crate::jobs::job::transition::Event;
use crate::jobs::joined::open_with_past;
use crate::jobs::run::past::Past;
use crate::jobs::task_rows::{ROWS, TaskRows, TaskRowsError};
use crate::node::jobs::job_error::JobError;
use crate::time::UnixMillis;

/// A job that is open.
pub(super) struct Opened {
    pub(super) live: LiveState,
    pub(super) replayed: Replayed,
    pub(super) rows: Option<TaskRows>,
    pub(super) past: Option<Past>,
}

/// Opens a job whose tasks may start at once. Without a copy that can be read it may still be cancelled; its
/// tasks fail it.
pub(super) fn open_to_run(disk: &dyn Disk, id: JobId, now: UnixMillis) -> Result<Opened, JobError> {
    let state = peek(disk, id)?.state;
    let is_copied = state.total.is_some() && !state.status.is_final();
    let rows = match is_copied.then(|| TaskRows::open(disk, ROWS)).transpose() {
        Err(TaskRowsError::Missing(_) | TaskRowsError::Damaged { .. }) => {
            let (live, replayed) = LiveState::open(disk, id, now, &mut |_| Ok(()))?;
            return Ok(Opened { live, replayed, rows: None, past: None });
        }
        rows => rows?,
    };
    let (live, mut replayed, past) = open_with_past(disk, id, rows.as_ref().map_or(0, TaskRows::len), now)?;
    // Second results of a row, and results of rows that there are not, do not count.
    (replayed.succeeded, replayed.failed) = past.results();
    let past = rows.is_some().then_some(past);
    Ok(Opened { live, replayed, rows, past })
}

/// Opens one of several jobs. The slot that it had when its process ended may be another one's now.
pub(super) fn open_to_wait(disk: &dyn Disk, id: JobId, now: UnixMillis) -> Result<Opened, JobError> {
    let (mut live, replayed) = LiveState::open(disk, id, now, &mut |_| Ok(()))?;
    if live.state().status == Status::Active {
        live.apply(&Event::Preempted, now)?;
        live.apply(&Event::TasksAtRest, now)?;
    }
    Ok(Opened { live, replayed, rows: None, past: None })
}

/// Says in the log what of the job's log is damaged or cut off.
pub(super) fn tell_of_damage(job: JobId, replayed: &Replayed) {
    let damage = &replayed.damage;
    if damage.ranges > 0 {
        let (ranges, bytes, first) = (damage.ranges, damage.bytes, damage.named.first());
        tracing::error!(
            %job, ranges, bytes, ?first,
            "the log of the job is damaged; results in these bytes are lost, and their tasks run again"
        );
    }
    if replayed.torn_bytes > 0 {
        tracing::info!(%job, bytes = replayed.torn_bytes, "what a crash left at the end of the log is cut off");
    }
}
