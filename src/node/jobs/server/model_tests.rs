//! A server of jobs against random requests and restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::JobsServer;
use super::test_stand::{Stand, create, describe, set_priority, until, update};
use crate::jobs::api::api_call::RequestedStatus::{Cancelled, Ready};
use crate::jobs::job::crash_disk::Dice;
use crate::jobs::job::id::JobId;
use crate::jobs::job::slots::{Slots, slots};
use crate::jobs::job::status::{PausedBy, Status};
use crate::jobs::job::wish::Wish;
use crate::lock::lock;
use crate::node::jobs::asking::ask;
use crate::node::jobs::job_handle::JobHandle;

/// At 100 at once a job is Active for 5 s.
const TASKS: u64 = 500;

/// What a person wants of a job.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    is_confirmed: bool,
    is_cancelled: bool,
    is_paused: bool,
}

/// No job that a person stopped has a slot, no more jobs than slots have one, and once nothing changes any more, no job
/// waits for one of lower priority or for a free slot.
async fn check(seed: u64, server: &JobsServer, active_jobs: usize, jobs: &BTreeMap<String, Wanted>) {
    let mut settled = false;
    for _ in 0..100 {
        let handles = lock(&server.shared.known).handles();
        let now: Vec<_> = handles.iter().map(JobHandle::candidate).collect();
        let held = now.iter().filter(|job| job.status.holds_slot()).count();
        assert!(held <= active_jobs, "seed {seed}: {now:?}");
        for job in &now {
            let Wanted { is_confirmed, is_cancelled, is_paused } = jobs[&job.id.to_string()];
            let may_run = is_confirmed && !is_cancelled && !is_paused;
            assert!(may_run || job.status != Status::Active, "seed {seed}: {job:?}");
            let by_person = matches!(job.status, Status::Paused(PausedBy::Person));
            assert!(!by_person || is_paused, "seed {seed}: {job:?}");
        }
        let changes = now.iter().any(|job| {
            matches!(job.status, Status::New | Status::Preparing | Status::Pausing(_))
                || job.status.is_ending()
        });
        let all_open = lock(&server.shared.known).unfinished() == now.len();
        settled = all_open && !changes && slots(&now, active_jobs) == Slots::default();
        if settled {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(settled, "seed {seed}: the jobs never settle");
}

async fn wish(stand: &Stand, job: &str, wish: Wish) -> bool {
    let id = JobId::parse(job).unwrap();
    ask(&stand.folder(), id, &wish, &*stand.clock, &*stand.random).await.is_ok()
}

async fn run(seed: u64) {
    let (stand, dice) = (Stand::with(TASKS).await, Dice::new(seed));
    let mut active_jobs = 1 + usize::try_from(dice.below(3)).unwrap();
    let mut server = stand.serve(active_jobs).await;
    let mut jobs: BTreeMap<String, Wanted> = BTreeMap::new();
    for step in 0..25 {
        let known: Vec<String> = jobs.keys().cloned().collect();
        let priority = u32::try_from(dice.below(4)).unwrap();
        let job = (!known.is_empty()).then(|| dice.of(&known));
        match (dice.below(9), job) {
            (0 | 1, _) | (_, None) => {
                let is_confirmed = dice.below(3) > 0;
                let more = format!("<ConfirmationRequired>{}</ConfirmationRequired>", !is_confirmed);
                let id = create(&server, &stand.request(&format!("t{step}"), priority, &more)).await.unwrap();
                jobs.insert(id, Wanted { is_confirmed, ..Wanted::default() });
            }
            (2, Some(job)) => _ = set_priority(&server, &job, priority).await,
            (3, Some(job)) => {
                // Before it is asked: what it wants is in force at some time within.
                if wish(&stand, &job, Wish::Pause).await {
                    jobs.get_mut(&job).unwrap().is_paused = true;
                }
            }
            (4, Some(job)) => {
                let before = std::mem::take(&mut jobs.get_mut(&job).unwrap().is_paused);
                if !wish(&stand, &job, Wish::Resume).await {
                    jobs.get_mut(&job).unwrap().is_paused = before;
                }
            }
            (5, Some(job)) => {
                if update(&server, &job, Ready).await.is_ok() {
                    jobs.get_mut(&job).unwrap().is_confirmed = true;
                }
            }
            (6, Some(job)) if dice.below(3) == 0 => {
                if update(&server, &job, Cancelled).await.is_ok() {
                    jobs.get_mut(&job).unwrap().is_cancelled = true;
                }
            }
            (7, Some(_)) => {
                server.stop().await;
                active_jobs = 1 + usize::try_from(dice.below(3)).unwrap();
                server = stand.serve(active_jobs).await;
            }
            _ => sleep(Duration::from_millis(dice.below(4_000))).await,
        }
        check(seed, &server, active_jobs, &jobs).await;
    }
    for (job, wanted) in &jobs {
        if wanted.is_paused {
            wish(&stand, job, Wish::Resume).await;
        }
        if !wanted.is_confirmed && !wanted.is_cancelled {
            until(&server, job, "Suspended").await;
            update(&server, job, Ready).await.unwrap();
        }
    }
    for (job, wanted) in &jobs {
        let status = if wanted.is_cancelled { "Cancelled" } else { "Complete" };
        until(&server, job, status).await;
        let (invoked, most) = stand.invoked(job);
        let described = describe(&server, job).await;
        assert_eq!(described.progress.succeeded, invoked, "seed {seed}: {job}");
        assert!(
            most <= 1 && (wanted.is_cancelled || invoked == TASKS),
            "seed {seed}: {job}: {invoked} {most}"
        );
    }
    assert!(stand.most_jobs() <= 3, "seed {seed}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn random_requests_and_restarts_keep_the_rules_of_slots() {
    for seed in 0..12 {
        run(seed).await;
    }
}
