//! Jobs that something is in the way of.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use tokio::sync::Semaphore;

use super::*;
use crate::jobs::attempts::entry::Change;
use crate::jobs::attempts::log::create;
use crate::jobs::job::crash_disk::CrashDisk;
use crate::jobs::job::live_state::EventError;
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::PausedBy;
use crate::jobs::job::troubles::read;
use crate::jobs::joined::past_of;
use crate::jobs::task_rows::{BLOCK_ROWS, ROWS};
use crate::node::jobs::job_handle::JobHandle;
use crate::runtime::progress::Progress as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_takes_no_report_for_a_while_is_waited_for() {
    let stand = Stand::with(&keys(30)).await;
    stand.store.script(std::iter::repeat_n(Step::SLOW_DOWN, 1_000));
    let held = stand.make(&stand.spec());
    let (id, jobs) = (held.id, stand.jobs());
    let job = stand.opened(held, true, succeeds).await;
    let running = tokio::spawn(job.run());
    until("somebody is told", || !jobs.look(id).unwrap().troubles.is_empty()).await;
    let seen = jobs.look(id).unwrap();
    assert_eq!(seen.now.state.status, Status::Completing);
    let told = &seen.troubles[0].what;
    assert!(
        told.starts_with("bucket reports takes no report now, and each object is tried for 10 minutes: "),
        "{told}"
    );
    let shown = super::super::shown::JobShown::of(&seen, SystemClock::new().wall()).text();
    assert!(shown.contains("\n  waits:     bucket reports takes no report now"), "{shown}");
    stand.store.clear_script();
    let ended = timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!((ended.outcome, stand.report().len()), (Outcome::Complete, 3));
    assert_eq!(jobs.look(id).unwrap().troubles, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_takes_no_more_requests_is_what_a_job_waits_for() {
    let stand = Stand::with(&keys(30)).await;
    stand.refuses.store(true, Ordering::Relaxed);
    let held = stand.make(&stand.spec());
    let (id, jobs) = (held.id, stand.jobs());
    let job = stand.opened(held, true, succeeds).await;
    let running = tokio::spawn(job.run());
    let told = || jobs.look(id).unwrap().troubles.into_iter().map(|trouble| trouble.what).collect::<Vec<_>>();
    until("somebody is told", || {
        told().iter().any(|what| what.starts_with("the function takes no more requests"))
    })
    .await;
    stand.refuses.store(false, Ordering::Relaxed);
    let ended = timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!((ended.outcome, stand.report().len()), (Outcome::Complete, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_tried_again_says_why() {
    let stand = Stand::with(&keys(3)).await;
    let held = stand.make(&JobSpec { max_attempts: 6, ..stand.spec() });
    let (id, jobs) = (held.id, stand.jobs());
    let job = stand
        .opened(held, true, |key| Some(if key == "k1" { "TemporaryFailure" } else { "Succeeded" }))
        .await;
    let running = tokio::spawn(job.run());
    let looked = || look_closely(&jobs, id, &SystemClock::new()).unwrap();
    until("a try is over", || looked().last.last_retry.is_some()).await;
    assert!(looked().text().contains("  last try:  row 2, after 1 try: said"), "{}", looked().text());
    // Who watches the job sees it, too, as long as no other task ends.
    let mut done = None;
    let mut below = || look_on(&jobs, id, &SystemClock::new(), &mut done).unwrap().1.progress().below();
    until("it is what the job does", || below().ends_with(", 1 wait for another try, last: row 2: said"))
        .await;
    stand.stop.cancel();
    assert_eq!(timeout(LONG, running).await.unwrap().unwrap().unwrap().outcome, Outcome::Interrupted);
}

/// Flips a byte in the middle of the copy's block with this number.
fn damage(stand: &Stand, id: JobId, block: u64) {
    let path = stand.jobs().path(id).join(ROWS);
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    // All blocks are about as long as each other.
    let blocks = KEYS.div_ceil(u64::from(BLOCK_ROWS));
    let at = file.metadata().unwrap().len() * (2 * block + 1) / (2 * blocks);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

const KEYS: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_of_the_copy_costs_its_rows_alone() {
    let stand = Stand::with(&keys(usize::try_from(KEYS).unwrap())).await;
    let id = stand.left_suspended().await;
    damage(&stand, id, 2);
    let (clock, random) = (SystemClock::new(), SystemRandom);
    ask(&stand.jobs(), id, &Wish::Confirm(None), &clock, &random).await.unwrap();
    let ended = stand.run(stand.jobs().hold(id).unwrap(), false, succeeds).await;
    assert_eq!(ended.outcome, Outcome::Failed(FailureClass::Other));
    assert_eq!(
        ended.why.unwrap(),
        "ManifestCopyDamaged: 1,024 tasks cannot run, of rows 2,049 to 3,072 of the manifest: its copy is damaged there; \
         make a job of these rows"
    );
    let others = KEYS - u64::from(BLOCK_ROWS);
    assert_eq!(stand.asked.load(Ordering::Relaxed), others);
    let seen = stand.jobs().look(id).unwrap();
    assert_eq!((seen.now.succeeded, seen.now.failed, seen.now.state.status), (others, 0, Status::Failed));
    let report = stand.report();
    let csv: Vec<_> = report.iter().filter(|(key, _)| key.ends_with(".csv")).collect();
    let [(_, rows)] = csv[..] else { panic!("{report:?}") };
    assert_eq!(rows.iter().filter(|byte| **byte == b'\n').count() as u64, others);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_without_its_copy_can_be_cancelled_and_ends() {
    let (clock, random) = (SystemClock::new(), SystemRandom);
    for is_damaged in [false, true] {
        let spoiled = async || {
            let stand = Stand::with(&keys(3)).await;
            let id = stand.left_suspended().await;
            let copy = stand.jobs().path(id).join(ROWS);
            match is_damaged {
                true => std::fs::write(copy, "no rows").unwrap(),
                false => std::fs::remove_file(copy).unwrap(),
            }
            (stand, id)
        };
        let (stand, id) = spoiled().await;
        ask(&stand.jobs(), id, &Wish::Cancel(None), &clock, &random).await.unwrap();
        let job = stand.opened(stand.jobs().hold(id).unwrap(), false, succeeds).await;
        job.obey().await.unwrap();
        assert!(job.needs_no_task());
        let ended = timeout(LONG, job.run()).await.unwrap().unwrap();
        assert!(ended.state.status.is_final(), "{:?}", ended.state);
        // One that nobody cancels fails.
        let (stand, id) = spoiled().await;
        ask(&stand.jobs(), id, &Wish::Confirm(None), &clock, &random).await.unwrap();
        let ended = stand.run(stand.jobs().hold(id).unwrap(), false, succeeds).await;
        assert_eq!(
            (ended.outcome, ended.state.status),
            (Outcome::Failed(FailureClass::Other), Status::Failed)
        );
        let why = ended.why.unwrap();
        assert!(why.starts_with("ManifestCopyDamaged: ") && why.contains("make the job again"), "{why}");
    }
}

/// Changes a job whose disk is full.
fn change_on_full_disk(handle: &JobHandle, event: &Event) {
    let refused = handle.apply(event, SystemClock::new().wall()).unwrap_err();
    assert!(matches!(&refused, EventError::Log(error) if error.is_no_space()), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_gives_its_slot_back_on_a_full_disk_keeps_its_results() {
    let (tasks, clock) = (1_500, SystemClock::new());
    let mut stand = Stand::with(&keys(1_500)).await;
    stand.takes = Duration::from_millis(10);
    let mut held = stand.make(&JobSpec { report: None, ..stand.spec() });
    let (id, disk, at) = (held.id, CrashDisk::new(3), clock.wall());
    let first = Change { at, state: JobState::new(Priority::default(), at), wish: None };
    create(&disk, id, &first).unwrap();
    held.disk = Arc::new(disk.clone());
    let turns = Turns { preparing: Arc::new(Semaphore::new(1)), changed: Arc::default() };
    let job = stand.opened_among(Some(turns), held, true, succeeds).await;
    let (handle, mut progress) = (job.handle(), job.progress());
    let running = tokio::spawn(job.run());
    timeout(LONG, progress.wait_for(|now| now.status == Status::Ready)).await.unwrap().unwrap();
    assert_eq!(handle.apply(&Event::SlotGiven, clock.wall()).unwrap().status, Status::Active);
    timeout(LONG, progress.wait_for(|now| now.tasks.succeeded > 0)).await.unwrap().unwrap();
    disk.fill(true);
    until("somebody is told", || !read(&disk).unwrap().is_empty()).await;
    change_on_full_disk(&handle, &Event::Preempted);
    assert_eq!(handle.state().status, Status::Active);
    disk.fill(false);
    let paused = Status::Paused(PausedBy::Preemption);
    timeout(LONG, progress.wait_for(|now| now.status == paused)).await.unwrap().unwrap();
    // What has run is in the log, and nothing is waited for.
    let asked = stand.asked.load(Ordering::Relaxed);
    assert!((1..tasks).contains(&asked), "{asked}");
    assert_eq!(past_of(&disk, id, tasks).unwrap().results(), (asked, 0));
    assert_eq!(read(&disk).unwrap(), []);
    // A slot that is given while the disk is full is not given to another job as well.
    disk.fill(true);
    change_on_full_disk(&handle, &Event::SlotGiven);
    assert_eq!((handle.state().status, handle.candidate().status), (paused, Status::Active));
    until("somebody is told again", || !read(&disk).unwrap().is_empty()).await;
    disk.fill(false);
    let ended = timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!((ended.outcome, stand.asked.load(Ordering::Relaxed)), (Outcome::Complete, tasks));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_finds_the_disk_full_is_copied_once_there_is_space() {
    for turns in [None, Some(Turns { preparing: Arc::new(Semaphore::new(1)), changed: Arc::default() })] {
        let is_one_of_many = turns.is_some();
        let stand = Stand::with(&keys(3_000)).await;
        let mut held = stand.make(&JobSpec { report: None, ..stand.spec() });
        let (id, disk, at) = (held.id, CrashDisk::new(5), SystemClock::new().wall());
        let first = Change { at, state: JobState::new(Priority::default(), at), wish: None };
        create(&disk, id, &first).unwrap();
        held.disk = Arc::new(disk.clone());
        let job = stand.opened_among(turns, held, true, succeeds).await;
        let (handle, mut progress) = (job.handle(), job.progress());
        handle.apply(&Event::PreparingStarted, at).unwrap();
        disk.fill(true);
        let running = tokio::spawn(job.run());
        let told = |says: &str| read(&disk).unwrap().iter().any(|trouble| trouble.what.contains(says));
        until("somebody is told", || told("the manifest is not copied to its end; free space")).await;
        assert_eq!(handle.state().status, Status::Preparing);
        disk.fill(false);
        if is_one_of_many {
            timeout(LONG, progress.wait_for(|now| now.status == Status::Ready)).await.unwrap().unwrap();
            handle.apply(&Event::SlotGiven, SystemClock::new().wall()).unwrap();
        }
        let ended = timeout(LONG, running).await.unwrap().unwrap().unwrap();
        assert_eq!((ended.outcome, ended.state.total), (Outcome::Complete, Some(3_000)));
        assert_eq!(stand.asked.load(Ordering::Relaxed), 3_000);
        assert!(!disk.names().iter().any(|name| name.ends_with(".tmp")), "{:?}", disk.names());
    }
}
