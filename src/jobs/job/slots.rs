//! Which jobs start and which are preempted: higher priority first, then older first.

use std::cmp::Reverse;

use super::id::JobId;
use super::state::Priority;
use super::status::{PausedBy, Status};
use crate::time::UnixMillis;

/// What decides on the slots of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The job.
    pub id: JobId,
    /// Its priority.
    pub priority: Priority,
    /// When it was made.
    pub made_at: UnixMillis,
    /// Where it stands.
    pub status: Status,
}

/// What to do with the slots now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Jobs that get a slot, the first one first.
    pub start: Vec<JobId>,
    /// Jobs that lose theirs: they pause, and start again when a slot is free.
    pub preempt: Vec<JobId>,
}

/// Gives `active_jobs` slots to jobs.
///
/// Only a higher priority preempts: an older job of the same priority waits. A slot that becomes free,
/// because its job is pausing already, is kept for the first job that waits, and no other job is preempted
/// for it.
pub fn slots(jobs: &[Candidate], active_jobs: usize) -> Slots {
    let rank = |job: &&Candidate| (Reverse(job.priority), job.made_at, job.id);
    let mut waiting: Vec<&Candidate> = jobs.iter().filter(|job| will_want_slot(job.status)).collect();
    waiting.sort_by_key(rank);
    let mut active: Vec<&Candidate> = jobs.iter().filter(|job| job.status == Status::Active).collect();
    active.sort_by_key(rank);
    let held = jobs.iter().filter(|job| job.status.holds_slot()).count();
    let mut slots = Slots::default();
    // Fewer slots than before: the last jobs pause.
    let mut leaving = held - active.len();
    while active.len() > active_jobs
        && let Some(last) = active.pop()
    {
        slots.preempt.push(last.id);
        leaving += 1;
    }
    let mut free = active_jobs.saturating_sub(held);
    let mut free_soon = active_jobs.saturating_sub(active.len()).min(leaving);
    for job in waiting {
        if job.status.wants_slot() && free > 0 {
            free -= 1;
            slots.start.push(job.id);
        } else if free_soon > 0 {
            free_soon -= 1;
        } else if let Some(last) = active.pop_if(|last| last.priority < job.priority) {
            slots.preempt.push(last.id);
        } else {
            break;
        }
    }
    slots
}

/// Whether the job waits for a slot, now or once its tasks in flight have ended.
fn will_want_slot(status: Status) -> bool {
    status.wants_slot() || status == Status::Pausing(PausedBy::Preemption)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::crash_disk::Dice;

    fn job(n: u64, priority: u32, status: Status) -> Candidate {
        let id = JobId::random(&Dice::new(n));
        let priority = Priority::new(priority).unwrap();
        Candidate { id, priority, made_at: UnixMillis(i64::try_from(n).unwrap()), status }
    }

    const ACTIVE: Status = Status::Active;
    const READY: Status = Status::Ready;
    const PREEMPTED: Status = Status::Paused(PausedBy::Preemption);
    const LEAVING: Status = Status::Pausing(PausedBy::Preemption);
    const PAUSED: Status = Status::Paused(PausedBy::Person);
    const STOPPING: Status = Status::Pausing(PausedBy::Person);

    /// Jobs by priority and status, the oldest first; which start and which are preempted.
    #[track_caller]
    fn check(what: &str, active_jobs: usize, jobs: &[(u32, Status)], start: &[usize], preempt: &[usize]) {
        let jobs: Vec<Candidate> =
            (0..).zip(jobs).map(|(n, (priority, status))| job(n, *priority, *status)).collect();
        let at = |ids: Vec<JobId>| -> Vec<usize> {
            ids.iter().map(|id| jobs.iter().position(|job| job.id == *id).unwrap()).collect()
        };
        let slots = slots(&jobs, active_jobs);
        assert_eq!((at(slots.start), at(slots.preempt)), (start.to_vec(), preempt.to_vec()), "{what}");
    }

    #[test]
    fn slots_go_to_the_highest_priority_and_then_to_the_oldest() {
        check("no jobs", 1, &[], &[], &[]);
        check("a free slot", 1, &[(5, READY), (5, READY)], &[0], &[]);
        check("priority before age", 1, &[(5, READY), (6, READY)], &[1], &[]);
        check("two slots", 2, &[(5, READY), (6, READY), (6, READY)], &[1, 2], &[]);
        check("a preempted job is older", 1, &[(5, PREEMPTED), (5, READY)], &[0], &[]);
        check("paused by a person", 1, &[(9, PAUSED), (5, READY)], &[1], &[]);
        check("the same priority waits", 1, &[(5, READY), (5, ACTIVE)], &[], &[]);
        check("a higher one preempts", 1, &[(5, ACTIVE), (6, READY)], &[], &[0]);
        check("while it pauses", 1, &[(5, LEAVING), (6, READY)], &[], &[]);
        check("then the higher one starts", 1, &[(5, PREEMPTED), (6, READY)], &[1], &[]);
        check(
            "one slot comes free, one job is preempted",
            2,
            &[(1, LEAVING), (2, ACTIVE), (6, READY), (6, READY)],
            &[],
            &[1],
        );
        check("the lowest is preempted", 3, &[(4, ACTIVE), (3, ACTIVE), (3, ACTIVE), (6, READY)], &[], &[2]);
        check("a slot that a person frees", 1, &[(5, STOPPING), (6, READY)], &[], &[]);
        check("fewer slots", 1, &[(5, ACTIVE), (6, ACTIVE), (5, READY)], &[], &[0]);
        check("no slots", 0, &[(5, ACTIVE), (5, READY)], &[], &[0]);
        check("no slot is given twice", 2, &[(9, ACTIVE), (8, READY), (7, READY)], &[1], &[]);
        check("a pausing job waits in its rank", 1, &[(7, LEAVING), (5, READY)], &[], &[]);
    }

    #[test]
    fn random_jobs_settle_and_no_job_waits_for_a_lower_one() {
        for seed in 0..2_000 {
            let dice = Dice::new(seed);
            let statuses = [ACTIVE, READY, PREEMPTED, LEAVING, PAUSED, STOPPING, Status::Complete];
            let mut jobs: Vec<Candidate> = (0..dice.below(8))
                .map(|n| job(n, u32::try_from(dice.below(4)).unwrap(), dice.of(&statuses)))
                .collect();
            let active_jobs = usize::try_from(dice.below(4)).unwrap();
            let mut rounds = 0;
            loop {
                let given = slots(&jobs, active_jobs);
                let pausing = jobs.iter().filter(|job| matches!(job.status, Status::Pausing(_))).count();
                if given == Slots::default() && pausing == 0 {
                    break;
                }
                rounds += 1;
                assert!(rounds < 20, "seed {seed}: {jobs:?} never settle");
                for job in &mut jobs {
                    job.status = match job.status {
                        ACTIVE if given.preempt.contains(&job.id) => LEAVING,
                        Status::Pausing(by) => Status::Paused(by),
                        status if given.start.contains(&job.id) => {
                            assert!(status.wants_slot(), "seed {seed}: started {job:?}");
                            ACTIVE
                        }
                        status => status,
                    };
                }
                let held = jobs.iter().filter(|job| job.status == ACTIVE).count();
                assert!(given.start.is_empty() || held <= active_jobs, "seed {seed}: {held} jobs are active");
            }
            let lowest = jobs.iter().filter(|job| job.status == ACTIVE).map(|job| job.priority).min();
            let highest = jobs.iter().filter(|job| job.status.wants_slot()).map(|job| job.priority).max();
            let active = jobs.iter().filter(|job| job.status == ACTIVE).count();
            assert!(active <= active_jobs, "seed {seed}: {jobs:?}");
            if let Some(highest) = highest {
                assert_eq!(active, active_jobs, "seed {seed}: a slot is free: {jobs:?}");
                assert!(lowest.is_none_or(|lowest| lowest >= highest), "seed {seed}: {jobs:?}");
            }
        }
    }
}
