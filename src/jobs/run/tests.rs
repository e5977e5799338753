//! The runner with handlers, rows and a ledger in memory, in simulated time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::destinations::class::Class;
use crate::jobs::attempts::logged::{LoggedAttempt, Visit};
use crate::jobs::handlers::{Ended, Failure, FailureKind, Refusal};
use crate::jobs::invocation::{Invocation, Schema};
use crate::jobs::task::TaskResult;
use crate::jobs::task_id::read_task_id;
use crate::jobs::threshold::Threshold;
use crate::lock::lock;
use crate::runtime::SystemRandom;
use crate::time::UnixMillis;

/// The simulated time of the runtime.
#[derive(Debug)]
struct Simulated(Instant);

impl Clock for Simulated {
    fn wall(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A manifest with this number of rows, some of which are lost.
#[derive(Debug)]
struct Manifest(u64, Range<u64>);

impl Rows for Manifest {
    fn read(&self, first: u64) -> BoxFuture<'_, io::Result<Option<RowsRead>>> {
        let mut last = self.0.min(first.saturating_add(512));
        let task =
            |row: u64| Task { bucket: "b".into(), key: format!("k{row}"), version: None, args: vec![] };
        let read = if self.1.contains(&first) {
            Some(RowsRead::Lost(first..self.1.end.min(self.0)))
        } else {
            if self.1.start >= first && !self.1.is_empty() {
                last = last.min(self.1.start);
            }
            let tasks: Vec<Task> = (first..last).map(task).collect();
            (first < last).then(|| RowsRead::Tasks(Arc::new(TaskBlock::of_tasks(first, &tasks).unwrap())))
        };
        Box::pin(async move { Ok(read) })
    }
}

/// Results in memory. A permit is needed for each group.
#[derive(Debug)]
struct Ledger {
    kept: Mutex<Vec<Entry>>,
    groups: Semaphore,
    breaks: bool,
}

impl Results for Ledger {
    fn record<'a>(&'a self, entries: &'a Entries) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            self.groups.acquire().await.unwrap().forget();
            if self.breaks {
                return Err(io::Error::other("the disk is full"));
            }
            lock(&self.kept).extend(entries.iter().flat_map(|entry| match entry {
                Visit::Results(result, count) => {
                    result.of_rows(count).map(|result| Entry::Result(result.to_result())).collect()
                }
                Visit::Attempt(LoggedAttempt { row, attempts: tries, cause }) => {
                    vec![Entry::Tried { row, tries, cause: cause.to_string() }]
                }
            }));
            Ok(())
        })
    }
}

type Acts = dyn Fn(u64, u32) -> Act + Send + Sync;

/// What a handler does with a try.
enum Act {
    Answer(&'static str),
    End(Ended),
    Panic,
}

/// Acts by row and number of the try, after a while.
struct Scripted {
    acts: Box<Acts>,
    tries: Mutex<BTreeMap<u64, u32>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Handler for Scripted {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let (job, row) = read_task_id(&invocation.task_id).unwrap();
            assert_eq!(job, "job");
            let attempt = {
                let mut tries = lock(&self.tries);
                let attempt = tries.entry(row).or_default();
                *attempt += 1;
                *attempt
            };
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_running.fetch_max(running, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            match (self.acts)(row, attempt) {
                Act::End(ended) => ended,
                Act::Panic => panic!("a handler with a fault"),
                Act::Answer(code) => Ended::Answered { status: 200, body: answer(invocation, code).into() },
            }
        })
    }
}

fn answer(invocation: &Invocation, code: &str) -> String {
    format!(
        r#"{{"invocationSchemaVersion":"1.0","invocationId":"{}","results":[{{"taskId":"{}","resultCode":"{code}","resultString":"{code}"}}]}}"#,
        invocation.id, invocation.task_id
    )
}

struct Bench {
    runner: Runner,
    handler: Arc<Scripted>,
    ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
}

impl Bench {
    fn new(rows: u64, limits: Limits, acts: impl Fn(u64, u32) -> Act + Send + Sync + 'static) -> Self {
        Self::with(rows, limits, false, acts)
    }

    fn with(
        rows: u64,
        limits: Limits,
        breaks: bool,
        acts: impl Fn(u64, u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        let handler = Arc::new(Scripted {
            acts: Box::new(acts),
            tries: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        });
        let ledger = Arc::new(Ledger {
            kept: Mutex::default(),
            groups: Semaphore::new(Semaphore::MAX_PERMITS),
            breaks,
        });
        let parts = Parts {
            call: JobCall { job: "job".into(), schema: Schema::V1, arguments: vec![] },
            handler: Arc::<Scripted>::clone(&handler),
            rows: Arc::new(Manifest(rows, 0..0)),
            results: Arc::<Ledger>::clone(&ledger),
            clock: Arc::new(Simulated(Instant::now())),
            random: Arc::new(SystemRandom),
        };
        let runner = Runner::new(parts, Past::new(rows).unwrap(), limits);
        Self { runner, handler, ledger, stop: watch::Sender::new(false) }
    }

    async fn run(&mut self) -> Result<End, RunError> {
        self.runner.run(self.stop.subscribe()).await
    }

    /// The results by row. Each row has one.
    fn results(&self) -> BTreeMap<u64, TaskResult> {
        let mut by_row = BTreeMap::new();
        for entry in lock(&self.ledger.kept).iter() {
            if let Entry::Result(result) = entry {
                assert_eq!(by_row.insert(result.row, result.clone()), None, "row {} twice", result.row);
            }
        }
        by_row
    }
}

fn some(concurrency: usize) -> Limits {
    Limits { concurrency, threshold: Threshold { min_tasks: 0, percent: 100 }, ..Limits::default() }
}

fn fault(kind: FailureKind) -> Act {
    Act::End(Ended::Failed(Failure::new(kind, "why")))
}

#[tokio::test(start_paused = true)]
async fn every_row_has_one_result_whatever_the_handler_does() {
    let mut bench = Bench::new(2_000, some(50), |row, attempt| match (row % 10, attempt) {
        (0, 1..3) => Act::Panic,
        (1, _) => fault(FailureKind::Timeout),
        (2, 1..6) => Act::Answer("TemporaryFailure"),
        (3, 1..20) if row == 3 => Act::End(Ended::Throttled { pause: Some(Duration::from_secs(1)) }),
        (4, _) => Act::Answer("PermanentFailure"),
        (5, _) => Act::End(Ended::Answered { status: 200, body: "null".into() }),
        (6, 1) => fault(FailureKind::Died),
        _ => Act::Answer("Succeeded"),
    });
    assert_eq!(bench.run().await.unwrap(), End::Complete);
    let results = bench.results();
    assert!(results.keys().copied().eq(0..2_000));
    for (row, result) in &results {
        assert_eq!(result.succeeded, !matches!(row % 10, 1 | 4 | 5), "{result:?}");
    }
    assert_eq!(results[&11].message, "why");
    assert_eq!((results[&2].message.as_str(), results[&2].http_status), ("Succeeded", Some(200)));
    let tries = lock(&bench.handler.tries).clone();
    assert_eq!([10, 1, 2, 3, 4, 6].map(|row| tries[&row]), [3, 6, 6, 20, 1, 2]);
    let spent =
        lock(&bench.ledger.kept).iter().filter(|entry| matches!(entry, Entry::Tried { row: 1, .. })).count();
    assert_eq!(spent, 5, "each try but the last is recorded");
    assert!(bench.handler.most_running.load(Ordering::SeqCst) <= 50);
    let progress = *bench.runner.progress().borrow();
    let expected =
        Progress { total: 2_000, succeeded: 1_400, failed: 600, throttles: 19, ..Progress::default() };
    assert_eq!(progress, expected);
}

#[tokio::test(start_paused = true)]
async fn so_many_invocations_run_at_once_as_may() {
    let mut bench = Bench::new(1_000, some(50), |_, _| Act::Answer("Succeeded"));
    let began = Instant::now();
    assert_eq!(bench.run().await.unwrap(), End::Complete);
    assert_eq!(bench.handler.most_running.load(Ordering::SeqCst), 50);
    // 20 rounds of 10 ms.
    assert!(began.elapsed() <= Duration::from_millis(230), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_running_tasks_end_and_the_job_can_go_on() {
    let mut bench = Bench::new(1_000, some(10), |row, attempt| match (row, attempt) {
        (0, 1..6) => fault(FailureKind::Network),
        _ => Act::Answer("Succeeded"),
    });
    let stop = bench.stop.clone();
    let mut progress = bench.runner.progress();
    let stopper = tokio::spawn(async move {
        progress.wait_for(|progress| progress.succeeded >= 100).await.unwrap();
        stop.send(true).unwrap();
    });
    assert_eq!(bench.run().await.unwrap(), End::Stopped);
    stopper.await.unwrap();
    let first = bench.results().len();
    assert!((100..900).contains(&first), "{first}");
    assert_eq!(bench.handler.running.load(Ordering::SeqCst), 0);
    assert_eq!(bench.run().await.unwrap(), End::Stopped, "it is still to stop");
    assert_eq!(bench.results().len(), first);
    bench.stop.send_replace(false);
    assert_eq!(bench.run().await.unwrap(), End::Complete);
    assert_eq!(bench.results().len(), 1_000);
    let tries = lock(&bench.handler.tries).clone();
    assert_eq!((tries[&0], tries.values().sum::<u32>()), (6, 1_005));
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_whoever_may_stop_it_is_gone() {
    let mut bench = Bench::new(100, some(10), |_, _| Act::Answer("Succeeded"));
    let stop = bench.stop.subscribe();
    bench.stop = watch::Sender::new(false);
    assert_eq!(bench.runner.run(stop).await.unwrap(), End::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_job_fails_by_its_threshold() {
    let limits = Limits { concurrency: 10, ..Limits::default() };
    let mut bench = Bench::new(5_000, limits, |row, _| match row < 501 {
        true => Act::Answer("PermanentFailure"),
        false => Act::Answer("Succeeded"),
    });
    assert_eq!(bench.run().await.unwrap(), End::TooManyFailed { executed: 1_000, failed: 501 });
    let executed = bench.results().len();
    assert!((1_000..1_010).contains(&executed), "running tasks end, and no others start: {executed}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_fails_the_job_at_once() {
    let refusal = Refusal { class: Class::AccessDenied, what: "403".into(), remedy: "allow it".into() };
    let answer = refusal.clone();
    let mut bench = Bench::new(5_000, some(10), move |row, _| match row {
        25 => Act::End(Ended::Refused(answer.clone())),
        _ => Act::Answer("Succeeded"),
    });
    assert_eq!(bench.run().await.unwrap(), End::Refused(refusal));
    let results = bench.results();
    assert!(results.len() < 50 && !results.contains_key(&25), "{}", results.len());
}

#[tokio::test(start_paused = true)]
async fn a_task_is_counted_after_the_sync_that_covers_it() {
    let mut bench = Bench::new(3, some(3), |_, _| Act::Answer("Succeeded"));
    bench.ledger.groups.forget_permits(Semaphore::MAX_PERMITS);
    let (mut progress, ledger) = (bench.runner.progress(), Arc::clone(&bench.ledger));
    let run = tokio::spawn(async move { (bench.run().await, bench) });
    let ended = progress.wait_for(|progress| progress.in_flight == 3).await.unwrap().in_flight;
    assert_eq!(ended, 3);
    let ended = *progress.wait_for(|progress| progress.in_flight == 0).await.unwrap();
    assert_eq!((ended.succeeded, run.is_finished()), (0, false));
    ledger.groups.add_permits(1);
    assert_eq!(run.await.unwrap().0.unwrap(), End::Complete);
    assert_eq!(progress.borrow_and_update().succeeded, 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_ends_the_run() {
    let mut bench = Bench::with(1_000, some(10), true, |_, _| Act::Answer("Succeeded"));
    let error = bench.run().await.unwrap_err();
    assert!(matches!(&error, RunError::Results(cause) if cause.to_string() == "the disk is full"), "{error}");
    assert_eq!(bench.runner.progress().borrow().succeeded, 0);
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_missing_end_the_run() {
    let mut bench = Bench::new(10, some(3), |_, _| Act::Answer("Succeeded"));
    bench.runner.rows = Arc::new(Manifest(9, 0..0));
    assert_eq!(
        bench.run().await.unwrap_err().to_string(),
        "the manifest's copy has no row 10: it is damaged, so make a new job"
    );
}

#[tokio::test(start_paused = true)]
async fn only_rows_without_a_recorded_result_run() {
    let mut bench = Bench::new(100, some(3), |_, _| Act::Answer("Succeeded"));
    let mut past = Past::new(100).unwrap();
    for row in (0..100).filter(|row| row % 7 != 3) {
        assert!(past.result(row, row % 2 == 0));
    }
    lock(&bench.runner.shared.core).decisions = Decisions::new(past, some(3));
    assert_eq!(bench.run().await.unwrap(), End::Complete);
    assert!(bench.results().keys().copied().eq((0..100).filter(|row| row % 7 == 3)));
}

#[tokio::test(start_paused = true)]
async fn lost_rows_cost_their_tasks_alone() {
    // One range in the middle, all of what is read at once, the first row and the last; and nothing else.
    for lost in [700..1_800, 0..1, 2_999..3_000, 0..2_000, 0..3_000] {
        let mut bench = Bench::new(3_000, some(10), |row, attempt| match (row % 500, attempt) {
            (7, 1) => fault(FailureKind::Network),
            _ => Act::Answer("Succeeded"),
        });
        bench.runner.rows = Arc::new(Manifest(3_000, lost.clone()));
        let End::RowsLost(told) = bench.run().await.unwrap() else { panic!("{lost:?}") };
        assert_eq!((told.rows, told.ranges.as_slice()), (lost.end - lost.start, &[lost.clone()][..]));
        let progress = *bench.runner.progress().borrow();
        assert_eq!((progress.succeeded, progress.failed), (3_000 - told.rows, 0));
        assert!(bench.results().keys().copied().eq((0..3_000).filter(|row| !lost.contains(row))), "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_rows_are_no_failed_tasks_for_the_threshold() {
    let limits = Limits { concurrency: 10, ..Limits::default() };
    let mut bench = Bench::new(5_000, limits, |row, _| match row < 1_500 {
        true => Act::Answer("PermanentFailure"),
        false => Act::Answer("Succeeded"),
    });
    bench.runner.rows = Arc::new(Manifest(5_000, 0..1_000));
    assert!(matches!(bench.run().await.unwrap(), End::RowsLost(lost) if lost.rows == 1_000));
}
