//! Jobs that something is in the way of.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use super::*;
use crate::jobs::task_rows::{BLOCK_ROWS, ROWS};

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
    let held = stand.make(&JobSpec { confirmation_required: true, ..stand.spec() });
    let id = held.id;
    let job = stand.opened(held, true, succeeds).await;
    let mut progress = job.progress();
    let running = tokio::spawn(job.run());
    timeout(LONG, progress.wait_for(|now| now.status == Status::Suspended)).await.unwrap().unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
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
