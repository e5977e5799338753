//! Servers of jobs, one after the other on one folder.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::creating::UNFINISHED_MAX;
use super::known::Standing;
use super::test_stand::{
    ACCOUNT, Stand, TASKS, create, describe, list, set_priority, try_describe, until, until_so, update,
};
use crate::jobs::api::api_answer::ApiAnswer;
use crate::jobs::api::api_call::ApiCall;
use crate::jobs::api::api_call::RequestedStatus::{Cancelled, Ready};
use crate::jobs::api::api_error::ApiErrorCode;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::LiveState;
use crate::jobs::job::spec::{JobSpec, MadeBy};
use crate::jobs::job::spec_checks::tests::described;
use crate::jobs::job::state::Priority;
use crate::jobs::job::transition::Event;
use crate::jobs::job::wish::Wish;
use crate::lock::lock;
use crate::node::jobs::asking::{Asked, ask};
use crate::node::jobs::shown::look;
use crate::runtime::SystemRandom;
use crate::store::fake::Step;
use crate::time::{Clock as _, UnixMillis};

/// A request of `forebay batch pause` and its like.
async fn wish(stand: &Stand, job: &str, wish: Wish) -> Asked {
    let id = JobId::parse(job).unwrap();
    ask(&stand.folder(), id, &wish, &*stand.clock, &*stand.random).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_its_confirmation_and_ends_with_its_report() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let more = "<Description>about</Description><Tags><member><Key>k</Key><Value>v</Value></member></Tags>";
    let job = create(&server, &stand.request("t", 7, more)).await.unwrap();
    let now = until(&server, &job, "Suspended").await;
    assert_eq!(now.suspended.unwrap().1, "AwaitingConfirmation");
    assert_eq!((now.priority, now.progress.total), (7, TASKS));
    assert_eq!(now.arn, format!("arn:aws:s3:us-east-1:{ACCOUNT}:job/{job}"));
    assert_eq!(now.manifest.object_arn, "arn:aws:s3:::lake/m.csv");
    assert_eq!(update(&server, &job, Ready).await, Ok("Ready".to_owned()));
    let ended = until(&server, &job, "Complete").await;
    assert_eq!((ended.progress.succeeded, ended.progress.failed), (TASKS, 0));
    assert_eq!((ended.status_reason.as_deref(), ended.description.as_deref()), (Some("why"), Some("about")));
    assert!((20..=22).contains(&ended.progress.active_seconds), "{:?}", ended.progress);
    assert_eq!((stand.report(&job), stand.invoked(&job)), (3, (TASKS, 1)));
    sleep(Duration::from_secs(2)).await;
    let metrics = stand.metrics.render().unwrap();
    for series in [
        "batch_jobs{status=\"Complete\"} 1",
        "batch_jobs{status=\"Active\"} 0",
        "batch_tasks_total{outcome=\"succeeded\"} 2000",
        "batch_invocations 0",
        "batch_throttles_total 0",
    ] {
        assert!(metrics.contains(&format!("forebay_{series}\n")), "{series}: {metrics}");
    }
    for to in [Ready, Cancelled] {
        assert_eq!(update(&server, &job, to).await, Err(ApiErrorCode::JobStatus));
    }
    assert_eq!(set_priority(&server, &job, 3).await, Err(ApiErrorCode::JobStatus));
    let tags = server.answer(ACCOUNT, ApiCall::GetJobTagging(job), b"").await.unwrap();
    assert_eq!(tags, ApiAnswer::Tags(vec![("k".to_owned(), "v".to_owned())]));
    for unknown in ["f3cc4f60-61f6-4a2b-8a21-d07600c373ce", "abcdef"] {
        assert_eq!(try_describe(&server, unknown).await.unwrap_err().code, ApiErrorCode::NoSuchJob);
        assert_eq!(update(&server, unknown, Ready).await, Err(ApiErrorCode::NoSuchJob));
    }
    let refused = stand.request("t2", 7, "").replace(">f<", ">unknown<");
    let refused = create(&server, &refused).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (ApiErrorCode::BadRequest, "start it with --function")
    );
    assert_eq!(
        server.answer("12", ApiCall::CreateJob, b"").await.unwrap_err().code,
        ApiErrorCode::BadRequest
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_higher_priority_takes_the_slot_and_gives_it_back() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let low = stand.make(&server, "low", 1).await;
    until(&server, &low, "Active").await;
    let same = stand.make(&server, "same", 1).await;
    until(&server, &same, "Ready").await;
    let high = stand.make(&server, "high", 2).await;
    until(&server, &high, "Active").await;
    assert_eq!(describe(&server, &low).await.status, "Paused");
    let (_, shown) = look(&stand.folder(), JobId::parse(&low).unwrap(), &*stand.clock).unwrap();
    let says = format!(": Paused, by job {high} with priority 2, until a slot is free (held by process");
    assert!(shown.text().contains(&says), "{says}: {}", shown.text());
    let (before, _) = stand.invoked(&low);
    // Only the priority decides, so a change of it moves the slot.
    set_priority(&server, &same, 3).await.unwrap();
    until(&server, &same, "Active").await;
    assert_eq!(describe(&server, &high).await.status, "Paused");
    until(&server, &same, "Complete").await;
    assert_eq!(stand.invoked(&low).0, before);
    until(&server, &high, "Complete").await;
    until(&server, &low, "Complete").await;
    assert_eq!(stand.most_jobs(), 1);
    for job in [low, same, high] {
        assert_eq!(stand.invoked(&job), (TASKS, 1), "each task once, whoever had the slot");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_servers_of_one_folder_make_one_job_of_a_token() {
    let stand = Stand::new().await;
    let (one, other) = (stand.serve(1).await, stand.serve(1).await);
    // Neither has looked at the folder since it started.
    let first = create(&one, &stand.request("t", 1, "")).await.unwrap();
    assert_eq!(create(&other, &stand.request("t", 1, "")).await.unwrap(), first);
    let refused = create(&other, &stand.request("t", 2, "")).await.unwrap_err();
    assert_eq!(refused.code, ApiErrorCode::Idempotency);
    for n in 0..20 {
        let request = stand.request(&format!("at-once-{n}"), 1, "");
        let (here, there) = tokio::join!(create(&one, &request), create(&other, &request));
        assert_eq!(here.unwrap(), there.unwrap());
    }
    assert_eq!(stand.folder().ids().unwrap().len(), 21);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_slots_run_the_two_oldest_jobs() {
    let stand = Stand::new().await;
    let server = stand.serve(2).await;
    let mut jobs = Vec::new();
    for n in 0..4 {
        jobs.push(stand.make(&server, &format!("t{n}"), 5).await);
        sleep(Duration::from_millis(10)).await;
        until_so(&server, &jobs[n], "prepared", |now| now.progress.total > 0).await;
    }
    until(&server, &jobs[1], "Active").await;
    let (active, _) = list(&server, &["Active"], 10, None).await.unwrap();
    assert_eq!(active.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), [&jobs[1], &jobs[0]]);
    assert_eq!(list(&server, &["Ready", "Paused"], 10, None).await.unwrap().0.len(), 2);
    for job in &jobs {
        until(&server, job, "Complete").await;
    }
    assert_eq!(stand.most_jobs(), 2);
    server.stop().await;
}

/// A job that asks for the same as another one, and that an earlier process left in its first steps.
fn left_by_a_crash(stand: &Stand, like: &str, event: Option<&Event>) -> String {
    let (folder, id) = (stand.folder(), JobId::random(&SystemRandom));
    let like = folder.spec(JobId::parse(like).unwrap()).unwrap();
    let held = folder.make(id, &JobSpec { client_request_token: None, ..like }).unwrap();
    let now = stand.clock.wall();
    let (mut live, _) = LiveState::open(&*held.disk, id, now, &mut |_| Ok(())).unwrap();
    event.iter().for_each(|event| drop(live.apply(event, now).unwrap().clone()));
    id.to_string()
}

#[tokio::test(start_paused = true)]
async fn jobs_go_on_from_each_state_after_a_restart() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let suspended = create(&server, &stand.request("suspended", 1, "")).await.unwrap();
    until(&server, &suspended, "Suspended").await;
    let done = stand.make(&server, "done", 1).await;
    until(&server, &done, "Complete").await;
    let paused = stand.make(&server, "paused", 2).await;
    until(&server, &paused, "Active").await;
    assert_eq!(wish(&stand, &paused, Wish::Pause).await, Asked::Done("Pausing".to_owned()));
    until(&server, &paused, "Paused").await;
    let preempted = stand.make(&server, "preempted", 3).await;
    until(&server, &preempted, "Active").await;
    let active = stand.make(&server, "active", 4).await;
    until(&server, &active, "Active").await;
    let ready = stand.make(&server, "ready", 3).await;
    until(&server, &ready, "Ready").await;
    server.stop().await;
    let new = left_by_a_crash(&stand, &active, None);
    let preparing = left_by_a_crash(&stand, &active, Some(&Event::PreparingStarted));
    let server = stand.serve(1).await;
    for (job, status) in [(&suspended, "Suspended"), (&done, "Complete"), (&paused, "Paused")] {
        assert_eq!(describe(&server, job).await.status, status);
    }
    until(&server, &active, "Active").await;
    stand.store.script(std::iter::repeat_n(Step::SLOW_DOWN, 1_000));
    until(&server, &active, "Completing").await;
    server.stop().await;
    stand.store.clear_script();
    let server = stand.serve(1).await;
    for job in [&active, &preempted, &ready, &preparing, &new] {
        until(&server, job, "Complete").await;
    }
    let still: Vec<_> =
        [describe(&server, &suspended).await, describe(&server, &paused).await].map(|job| job.status).into();
    assert_eq!(still, ["Suspended", "Paused"], "only a person lets them go on");
    assert_eq!(wish(&stand, &paused, Wish::Resume).await, Asked::Done("Ready".to_owned()));
    update(&server, &suspended, Ready).await.unwrap();
    for job in [&done, &paused, &preempted, &active, &ready, &preparing, &new, &suspended] {
        until(&server, job, "Complete").await;
        assert_eq!((stand.invoked(job), stand.report(job)), ((TASKS, 1), 3), "{job}");
    }
    assert_eq!(stand.most_jobs(), 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gives_the_first_job() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let request = stand.request("token", 1, "");
    let (first, second) = tokio::join!(create(&server, &request), create(&server, &request));
    let job = first.unwrap();
    assert_eq!(second.unwrap(), job);
    let other = stand.request("token", 2, "");
    let refused = create(&server, &other).await.unwrap_err();
    assert_eq!(refused.code, ApiErrorCode::Idempotency);
    assert!(refused.message.contains(&job), "{refused}");
    server.stop().await;
    let server = stand.serve(1).await;
    assert_eq!(create(&server, &request).await.unwrap(), job);
    assert_eq!(create(&server, &other).await.unwrap_err().code, ApiErrorCode::Idempotency);
    let of_other = server.answer("999999999999", ApiCall::CreateJob, request.as_bytes()).await.unwrap();
    assert!(matches!(of_other, ApiAnswer::Created(id) if id != job));
    // Once it is not kept any longer, the token is free.
    update(&server, &job, Cancelled).await.unwrap();
    until(&server, &job, "Cancelled").await;
    server.stop().await;
    stand.pass_days(91);
    let server = stand.serve(1).await;
    assert_eq!(try_describe(&server, &job).await.unwrap_err().code, ApiErrorCode::NoSuchJob);
    assert_ne!(create(&server, &other).await.unwrap(), job);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn requests_of_other_processes_are_obeyed_in_every_state_that_waits() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let suspended = create(&server, &stand.request("suspended", 1, "")).await.unwrap();
    until(&server, &suspended, "Suspended").await;
    let active = stand.make(&server, "active", 9).await;
    until(&server, &active, "Active").await;
    let ready = stand.make(&server, "ready", 2).await;
    until(&server, &ready, "Ready").await;
    let done = |status: &str| Asked::Done(status.to_owned());
    let began = Instant::now();
    let priority = Priority::new(4).unwrap();
    assert_eq!(wish(&stand, &suspended, Wish::Priority(priority)).await, done("Suspended"));
    assert_eq!(wish(&stand, &suspended, Wish::Cancel(None)).await, done("Cancelling"));
    assert_eq!(wish(&stand, &ready, Wish::Pause).await, done("Paused"));
    assert_eq!(wish(&stand, &ready, Wish::Priority(priority)).await, done("Paused"));
    assert_eq!(wish(&stand, &ready, Wish::Resume).await, done("Ready"));
    assert_eq!(wish(&stand, &ready, Wish::Cancel(Some("no".to_owned()))).await, done("Cancelling"));
    assert!(began.elapsed() < Duration::from_millis(6_600), "{:?} for six requests", began.elapsed());
    for job in [&suspended, &ready] {
        let ended = until(&server, job, "Cancelled").await;
        assert_eq!((ended.priority, stand.report(job), stand.invoked(job)), (4, 0, (0, 0)));
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_job_is_named_and_stops_no_other() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let mut jobs = Vec::new();
    for n in 0..5 {
        jobs.push(create(&server, &stand.request(&format!("t{n}"), 1, "")).await.unwrap());
        until(&server, &jobs[n], "Suspended").await;
    }
    server.stop().await;
    let file = |job: &str, name: &str| stand.folder().path(JobId::parse(job).unwrap()).join(name);
    let mut flipped = std::fs::read(file(&jobs[0], "job.json")).unwrap();
    flipped[50] ^= 1;
    std::fs::write(file(&jobs[0], "job.json"), flipped).unwrap();
    std::fs::remove_file(file(&jobs[1], "log")).unwrap();
    for job in [&jobs[2], &jobs[4]] {
        std::fs::remove_file(file(job, "rows")).unwrap();
    }
    let server = stand.serve(1).await;
    for (job, words) in [(&jobs[0], "is damaged"), (&jobs[1], "the log of job")] {
        let error = try_describe(&server, job).await.unwrap_err();
        assert_eq!(error.code, ApiErrorCode::Internal);
        assert!(error.message.contains(words), "{error}");
    }
    let listed = list(&server, &[], 10, None).await.unwrap().0;
    assert_eq!(listed.len(), 3, "{listed:?}");
    // The token of a job whose log alone is damaged still stands for it.
    assert_eq!(create(&server, &stand.request("t1", 1, "")).await.unwrap(), jobs[1]);
    // Without its copy of the manifest the job cannot run. It fails by name, and the other one gets the slot.
    update(&server, &jobs[2], Ready).await.unwrap();
    let failed = until(&server, &jobs[2], "Failed").await;
    assert_eq!(failed.failures[0].0, "ManifestCopyDamaged");
    assert!(failed.failures[0].1.contains("the copy rows of the job's manifest is missing"), "{failed:?}");
    update(&server, &jobs[3], Ready).await.unwrap();
    until(&server, &jobs[3], "Complete").await;
    // One that waits to be confirmed can still be cancelled: without the copy there is no report.
    assert_eq!(update(&server, &jobs[4], Cancelled).await, Ok("Cancelling".to_owned()));
    let ended = until(&server, &jobs[4], "Failed").await;
    assert_eq!((ended.failures.len(), ended.failures[0].0.as_str()), (1, "ReportNotStored"));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_panics_is_tried_again_and_shown_meanwhile() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    stand.tools.fails.store(4, Ordering::Relaxed);
    let job = stand.make(&server, "t", 1).await;
    for words in ["nothing to work with", "a fault of this program"] {
        let shown = until_so(&server, &job, words, |now| {
            now.failures.iter().any(|(code, why)| code == "JobDoesNotGoOn" && why.contains(words))
        });
        let status = shown.await.status;
        assert!(["Active", "Pausing", "Paused"].contains(&status), "{status}");
    }
    let ended = until(&server, &job, "Complete").await;
    assert_eq!((ended.failures.len(), stand.invoked(&job)), (0, (TASKS, 1)));
    // A job that nothing can run is cancelled all the same.
    stand.tools.fails.store(u64::MAX - 1, Ordering::Relaxed);
    let job = stand.make(&server, "t2", 1).await;
    until_so(&server, &job, "trouble", |now| !now.failures.is_empty()).await;
    update(&server, &job, Cancelled).await.unwrap();
    until(&server, &job, "Cancelled").await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_function_is_gone_is_cancelled_with_its_report() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let job = stand.make(&server, "t", 1).await;
    until_so(&server, &job, "half", |now| now.progress.succeeded > 500).await;
    server.stop().await;
    // As after a start without its --function.
    stand.tools.fails.store(u64::MAX - 1, Ordering::Relaxed);
    let server = stand.serve(1).await;
    until_so(&server, &job, "trouble", |now| !now.failures.is_empty()).await;
    // Those who look into the folder see the same.
    let id = JobId::parse(&job).unwrap();
    let shown = loop {
        let (_, shown) = look(&stand.folder(), id, &*stand.clock).unwrap();
        if !shown.troubles.is_empty() {
            break shown.text();
        }
        sleep(Duration::from_millis(10)).await;
    };
    assert!(shown.contains("waits:     tried again in about "), "{shown}");
    assert!(shown.contains("nothing to work with") && !shown.contains("slot is free"), "{shown}");
    let told = until_so(&server, &job, "trouble", |now| !now.failures.is_empty()).await;
    assert_eq!(told.failures.len(), 1, "{told:?}");
    assert_eq!(update(&server, &job, Cancelled).await, Ok("Cancelling".to_owned()));
    let ended = until(&server, &job, "Cancelled").await;
    assert_eq!((ended.failures.len(), stand.report(&job)), (0, 3));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_job_waits_for_is_among_its_failure_reasons_until_it_goes_on() {
    let stand = Stand::with(10).await;
    let server = stand.serve(1).await;
    let job = stand.make(&server, "t", 1).await;
    until(&server, &job, "Active").await;
    stand.store.script(std::iter::repeat_n(Step::SLOW_DOWN, 1_000));
    let waits = until_so(&server, &job, "somebody is told", |now| !now.failures.is_empty()).await;
    let (code, why) = &waits.failures[0];
    assert_eq!((code.as_str(), waits.failures.len(), waits.status), ("JobDoesNotGoOn", 1, "Completing"));
    assert!(why.starts_with("bucket reports takes no report now"), "{why}");
    stand.store.clear_script();
    let ended = until(&server, &job, "Complete").await;
    assert_eq!((ended.failures.len(), stand.report(&job)), (0, 3));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_process_holds_is_shown_and_taken_over_once_it_is_free() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let job = create(&server, &stand.request("t", 1, "")).await.unwrap();
    until(&server, &job, "Suspended").await;
    server.stop().await;
    let id = JobId::parse(&job).unwrap();
    let held = stand.folder().hold(id).unwrap();
    let run = JobSpec { made_by: MadeBy::Run, client_request_token: None, ..held.spec.clone() };
    let of_run = JobId::random(&SystemRandom);
    drop(stand.folder().make(of_run, &run).unwrap());
    let server = stand.serve(1).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(list(&server, &["Suspended", "New"], 10, None).await.unwrap().0.len(), 2);
    // The request is left beside the job.
    assert_eq!(update(&server, &job, Ready).await, Ok("Suspended".to_owned()));
    assert_eq!(update(&server, &of_run.to_string(), Cancelled).await, Ok("New".to_owned()));
    assert_eq!(describe(&server, &job).await.status, "Suspended");
    drop(held);
    until(&server, &job, "Complete").await;
    assert_eq!(describe(&server, &of_run.to_string()).await.status, "New", "it goes on by --job alone");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_confirms_a_job_for_30_days() {
    let stand = Stand::new().await;
    let server = stand.serve(1).await;
    let job = create(&server, &stand.request("t", 1, "")).await.unwrap();
    until(&server, &job, "Suspended").await;
    stand.pass_days(29);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(describe(&server, &job).await.status, "Suspended");
    stand.pass_days(1);
    let ended = until(&server, &job, "Failed").await;
    assert_eq!(ended.failures[0].0, "JobNotConfirmed");
    // The daily round removes it 90 days later.
    stand.pass_days(90);
    advance(Duration::from_secs(86_400)).await;
    let began = Instant::now();
    while try_describe(&server, &job).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "it stays");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(try_describe(&server, &job).await.unwrap_err().code, ApiErrorCode::NoSuchJob);
    assert!(list(&server, &[], 10, None).await.unwrap().0.is_empty());
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_are_listed_by_pages_and_more_are_refused() {
    let stand = Stand::new().await;
    let folder = stand.folder();
    for n in 0..1_000 {
        let made_at = UnixMillis(1_600_000_000_000 + n / 3);
        let spec = JobSpec { made_by: MadeBy::Run, made_at, client_request_token: None, ..described() };
        drop(folder.make(JobId::random(&SystemRandom), &spec).unwrap());
    }
    let server = stand.serve(1).await;
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let (page, next) = list(&server, &["New", "Active"], 170, token).await.unwrap();
        assert!(page.len() == 170 || next.is_none());
        seen.extend(page.into_iter().map(|job| (std::cmp::Reverse(job.made_at.0), job.id)));
        token = next;
        if seen.len() == 510 {
            // A new job is on none of the later pages.
            create(&server, &stand.request("t", 1, "")).await.unwrap();
        }
        if token.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.len() == 1_000);
    assert_eq!(list(&server, &[], 1_000, None).await.unwrap().0.len(), 1_000);
    assert_eq!(list(&server, &["Complete"], 10, None).await.unwrap().0.len(), 0);
    let wrong = list(&server, &["Done"], 10, None).await.unwrap_err();
    assert_eq!(wrong.code, ApiErrorCode::InvalidRequest);
    let wrong = list(&server, &[], 10, Some("x".to_owned())).await.unwrap_err();
    assert_eq!(wrong.code, ApiErrorCode::InvalidNextToken);
    for _ in 1..UNFINISHED_MAX {
        let standing = Standing::Kept { handle: None, trouble: None };
        lock(&server.shared.known).add(JobId::random(&SystemRandom), Some(&described()), standing);
    }
    let refused = create(&server, &stand.request("t2", 1, "")).await.unwrap_err();
    assert_eq!(refused.code, ApiErrorCode::TooManyRequests);
    server.stop().await;
}

#[test]
fn a_server_that_dies_repeats_no_more_than_was_in_flight() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = runtime();
    let (stand, job) = first.block_on(async {
        let stand = Stand::new().await;
        let server = stand.serve(1).await;
        let job = stand.make(&server, "t", 1).await;
        until_so(&server, &job, "half", |now| now.progress.succeeded > 500).await;
        // As a kill: nothing more runs, and nothing is told.
        std::mem::drop(server);
        (stand, job)
    });
    drop(first);
    let (invoked, _) = stand.invoked(&job);
    assert!(invoked < TASKS);
    runtime().block_on(async {
        let server = stand.serve(1).await;
        until(&server, &job, "Complete").await;
        server.stop().await;
    });
    let (again, most) = stand.invoked(&job);
    assert!(again > invoked && again <= TASKS + 200 && most <= 2, "{again} {most}");
    assert_eq!(stand.report(&job), 3);
}
