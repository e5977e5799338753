//! Whole jobs with a store in memory and a handler of this process.

mod troubles;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::asking::{Asked, ask};
use super::one_job::{Around, JobEnd, OneJob, Turns};
use super::outcome::Outcome;
use super::shown::{ReportShown, look_closely, look_on, stopped, waits_for};
use super::tools::{JobStore, JobTools, ToolsFrom};
use crate::boxed_future::BoxFuture;
use crate::destinations::class::Class;
use crate::jobs::attempts::group::Entries;
use crate::jobs::handlers::{Ended, Handler, Refusal};
use crate::jobs::invocation::{Invocation, Schema};
use crate::jobs::job::folder::{HeldJob, JobsFolder};
use crate::jobs::job::id::JobId;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{
    Endpoints, JobSpec, MadeBy, ManifestPlace, ManifestSpec, ReportScope, ReportSpec,
};
use crate::jobs::job::state::Priority;
use crate::jobs::job::status::{FailureClass, Status};
use crate::jobs::job::transition::Event;
use crate::jobs::job::troubles::Troubles;
use crate::jobs::job::wish::Wish;
use crate::jobs::joined::{LoggedResults, open_with_past};
use crate::jobs::run::Results as _;
use crate::jobs::task::TaskResult;
use crate::object::{Encryption, ObjectKey};
use crate::runtime::{SystemClock, SystemRandom};
use crate::store::fake::{FakeStore, Step};
use crate::store::{ObjectStore as _, Put, PutMode};
use crate::time::Clock as _;

const LONG: Duration = Duration::from_secs(60);

/// Answers each key; `None`: it is refused, and so the job.
type Answers = dyn Fn(&str) -> Option<&'static str> + Send + Sync;

struct InProcess {
    answers: Box<Answers>,
    asked: Arc<AtomicU64>,
    /// How long it works.
    takes: Duration,
    /// Whether it takes no more requests.
    refuses: Arc<AtomicBool>,
}

debug_fields!(InProcess { asked });

impl Handler for InProcess {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if !self.takes.is_zero() {
                sleep(self.takes).await;
            }
            let event: Value = serde_json::from_slice(&invocation.body).unwrap();
            let task = &event["tasks"][0];
            if self.refuses.load(Ordering::Relaxed) {
                return Ended::Throttled { pause: None };
            }
            let Some(code) = (self.answers)(task["s3Key"].as_str().unwrap()) else {
                let (what, remedy) = ("it may not be invoked".to_owned(), "allow it".to_owned());
                return Ended::Refused(Refusal { class: Class::AccessDenied, what, remedy });
            };
            let result = json!({"taskId": task["taskId"], "resultCode": code, "resultString": "said"});
            let answer = json!({
                "invocationSchemaVersion": "1.0", "invocationId": event["invocationId"], "results": [result],
            });
            Ended::Answered { status: 200, body: Bytes::from(answer.to_string()) }
        })
    }
}

/// A store with a manifest, and a folder of jobs.
struct Stand {
    folder: tempfile::TempDir,
    store: FakeStore,
    asked: Arc<AtomicU64>,
    stop: CancellationToken,
    takes: Duration,
    refuses: Arc<AtomicBool>,
}

impl Stand {
    async fn with(manifest: &str) -> Self {
        let store = FakeStore::new();
        let location = super::tools::location("lake", None).unwrap();
        let key = ObjectKey::listed("m.csv");
        store.put(&Put::plain(location, key, manifest.to_owned(), PutMode::Overwrite)).await.unwrap();
        let (asked, stop, refuses) = (Arc::default(), CancellationToken::new(), Arc::default());
        Self { folder: tempfile::tempdir().unwrap(), store, asked, stop, takes: Duration::ZERO, refuses }
    }

    fn jobs(&self) -> JobsFolder {
        JobsFolder::open(self.folder.path()).unwrap()
    }

    fn spec(&self) -> JobSpec {
        let place =
            ManifestPlace::Object { bucket: "lake".to_owned(), key: "m.csv".to_owned(), version: None };
        JobSpec {
            operation: Operation::Command("in-process".to_owned()),
            schema: Schema::V1,
            user_arguments: Vec::new(),
            manifest: ManifestSpec { place, etag: None, format: None, fields: None },
            report: Some(ReportSpec {
                bucket: "reports".to_owned(),
                prefix: "p".to_owned(),
                scope: ReportScope::AllTasks,
            }),
            priority: Priority::default(),
            role: None,
            description: None,
            confirmation_required: false,
            client_request_token: None,
            tags: Vec::new(),
            concurrency: 4,
            max_attempts: 1,
            task_timeout_ms: 1_000,
            failure_percent: 50,
            failure_min_tasks: 1_000,
            folder: None,
            import: None,
            endpoints: Endpoints::default(),
            made_by: MadeBy::Run,
            made_at: SystemClock::new().wall(),
        }
    }

    fn make(&self, spec: &JobSpec) -> HeldJob {
        self.jobs().make(JobId::random(&SystemRandom), spec).unwrap()
    }

    async fn opened(
        &self,
        held: HeldJob,
        is_new: bool,
        answers: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> OneJob {
        self.opened_among(None, held, is_new, answers).await
    }

    /// Opens one of the jobs that have these turns.
    async fn opened_among(
        &self,
        turns: Option<Turns>,
        held: HeldJob,
        is_new: bool,
        answers: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> OneJob {
        let handler = InProcess {
            answers: Box::new(answers),
            asked: Arc::clone(&self.asked),
            takes: self.takes,
            refuses: Arc::clone(&self.refuses),
        };
        let tools = JobTools { store: Arc::new(self.store.clone()), handler: Arc::new(handler), role: None };
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
        let around = Around { clock, random, stop: self.stop.clone(), turns };
        OneJob::open(held, is_new, tools, around).await.unwrap()
    }

    /// A job whose process ended while it was Suspended.
    async fn left_suspended(&self) -> JobId {
        let held = self.make(&JobSpec { confirmation_required: true, ..self.spec() });
        let id = held.id;
        let job = self.opened(held, true, succeeds).await;
        let mut progress = job.progress();
        let running = tokio::spawn(job.run());
        timeout(LONG, progress.wait_for(|now| now.status == Status::Suspended)).await.unwrap().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        id
    }

    async fn run(
        &self,
        held: HeldJob,
        is_new: bool,
        answers: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> JobEnd {
        let job = self.opened(held, is_new, answers).await;
        timeout(LONG, job.run()).await.unwrap().unwrap()
    }

    fn report(&self) -> BTreeMap<String, Bytes> {
        let keys = self.store.keys().into_iter().filter(|(bucket, _)| bucket == "reports");
        keys.map(|(bucket, key)| (key.clone(), self.store.object(&bucket, &key).unwrap().bytes)).collect()
    }
}

fn keys(count: usize) -> String {
    (0..count).map(|n| format!("lake,k{n}\n")).collect()
}

fn succeeds(_: &str) -> Option<&'static str> {
    Some("Succeeded")
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, so).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_ends_with_an_encrypted_report_and_leaves_nothing_behind() {
    let stand = Stand::with(&keys(30)).await;
    let held = stand.make(&stand.spec());
    let id = held.id;
    let ended =
        stand.run(held, true, |key| Some(if key == "k7" { "PermanentFailure" } else { "Succeeded" })).await;
    assert_eq!((ended.outcome, ended.state.total), (Outcome::SomeFailed, Some(30)));
    let report = stand.report();
    assert_eq!(report.len(), 4, "{:?}", report.keys());
    for (_, key) in stand.store.keys().into_iter().filter(|(bucket, _)| bucket == "reports") {
        assert!(key.starts_with(&format!("p/job-{id}/")), "{key}");
        assert_eq!(stand.store.object("reports", &key).unwrap().encryption, Encryption::SseS3, "{key}");
    }
    let files = std::fs::read_dir(stand.jobs().path(id)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["LOCK", "job.json", "log", "rows"]);
    let shown = look_closely(&stand.jobs(), id, &SystemClock::new()).unwrap();
    let failure = shown.last.last_failure.as_ref().unwrap();
    assert_eq!(
        (failure.row, failure.code.as_str(), failure.message.as_str()),
        (8, "PermanentFailure", "said")
    );
    assert!(shown.text().contains("  last fail: row 8: PermanentFailure (200): said"), "{}", shown.text());
    // Another process finds the job as it ended, and invokes nothing.
    let again = stand.run(stand.jobs().hold(id).unwrap(), false, succeeds).await;
    assert_eq!((again.outcome, stand.asked.load(Ordering::Relaxed)), (Outcome::SomeFailed, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_put_again_after_a_stop_is_the_same() {
    let mut stand = Stand::with(&keys(30)).await;
    let held = stand.make(&stand.spec());
    let id = held.id;
    // The first object is put, its answer is lost, and then the store is away.
    stand.store.script([Step::LoseAnswer].into_iter().chain(std::iter::repeat_n(Step::SLOW_DOWN, 1_000)));
    let job = stand.opened(held, true, succeeds).await;
    let running = tokio::spawn(job.run());
    until("two tries", || stand.store.puts() > 3).await;
    stand.stop.cancel();
    let stopped = timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!((stopped.outcome, stopped.state.status), (Outcome::Interrupted, Status::Completing));
    let first = stand.report();
    assert_eq!(first.len(), 1);
    stand.store.clear_script();
    stand.stop = CancellationToken::new();
    let ended = stand.run(stand.jobs().hold(id).unwrap(), false, succeeds).await;
    assert_eq!((ended.outcome, stand.asked.load(Ordering::Relaxed)), (Outcome::Complete, 30));
    let report = stand.report();
    assert_eq!(report.len(), 3, "{:?}", report.keys());
    assert!(first.iter().all(|(key, bytes)| report.get(key) == Some(bytes)), "{first:?} {report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_report_fails_the_job_and_keeps_the_files() {
    let stand = Stand::with(&keys(3)).await;
    stand.store.refuse_bucket("reports", true);
    let held = stand.make(&stand.spec());
    let id = held.id;
    let ended = stand.run(held, true, succeeds).await;
    assert_eq!(ended.outcome, Outcome::Failed(FailureClass::Access));
    let (why, folder) = (ended.why.unwrap(), stand.jobs().path(id));
    assert!(why.starts_with("ReportNotStored: put p/job-"), "{why}");
    let last = format!("; no other try follows, and the CSV files of the report are in {}", folder.display());
    assert!(why.ends_with(&last), "{why}");
    assert!(folder.join("report-succeeded-000001.csv").exists());
    let shown = ReportShown::of(&stand.jobs(), &stand.jobs().look(id).unwrap()).unwrap();
    assert!(shown.why_none.unwrap().ends_with(&format!("; its CSV files are in {}", folder.display())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_for_the_report_that_is_not_there_fails_the_job_before_its_tasks() {
    let stand = Stand::with(&keys(3)).await;
    stand.store.miss_bucket("reports", true);
    let held = stand.make(&stand.spec());
    let id = held.id;
    let ended = stand.run(held, true, succeeds).await;
    assert_eq!(ended.outcome, Outcome::Failed(FailureClass::Access));
    let why = ended.why.unwrap();
    assert!(why.starts_with("ReportNotStored: no task was run, since the report cannot be put to"), "{why}");
    assert!(why.contains("create the bucket, or name another one in --report"), "{why}");
    assert_eq!(stand.asked.load(Ordering::Relaxed), 0);
    let shown = ReportShown::of(&stand.jobs(), &stand.jobs().look(id).unwrap()).unwrap();
    assert!(!shown.why_none.unwrap().contains("CSV files"));
    // A store that does not say so is not asked again.
    stand.store.miss_bucket("reports", false);
    stand.store.script_reads([Step::REFUSED]);
    let ended = stand.run(stand.make(&stand.spec()), true, succeeds).await;
    assert_eq!((ended.outcome, stand.report().len()), (Outcome::Complete, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_may_not_be_invoked_fails_the_job_without_a_try() {
    let stand = Stand::with(&keys(500)).await;
    let ended = stand.run(stand.make(&stand.spec()), true, |_| None).await;
    assert_eq!(ended.outcome, Outcome::Failed(FailureClass::Access));
    assert_eq!(ended.why.as_deref(), Some("access-denied: it may not be invoked; allow it"));
    assert!(stand.asked.load(Ordering::Relaxed) <= 4);
    // No task has a result, so there is no report.
    assert_eq!(stand.report().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_tasks_have_all_ended_needs_nothing_that_runs_them() {
    let stand = Stand::with(&keys(3)).await;
    let id = stand.left_suspended().await;
    let held = stand.jobs().hold(id).unwrap();
    // As after a crash right after the last result.
    let clock = Arc::new(SystemClock::new());
    let (mut live, ..) = open_with_past(&*held.disk, id, 3, clock.wall()).unwrap();
    for event in [Event::Confirmed(None), Event::SlotGiven] {
        live.apply(&event, clock.wall()).unwrap();
    }
    let mut entries = Entries::default();
    for row in 0..3 {
        let (http_status, error_code, message) = (Some(200), String::new(), "said".to_owned());
        entries.result(&TaskResult { row, succeeded: true, http_status, error_code, message });
    }
    let troubles = Troubles::new(id, Arc::clone(&held.disk), Arc::<SystemClock>::clone(&clock) as _);
    let (live, troubles, stop) = (Arc::new(Mutex::new(live)), Arc::new(troubles), stand.stop.clone());
    let results = LoggedResults {
        live,
        clock: Arc::<SystemClock>::clone(&clock) as _,
        troubles,
        stop,
        settling: Arc::default(),
    };
    results.record(&entries).await.unwrap();
    drop(results);
    let store = ToolsFrom::None(JobStore { store: Arc::new(stand.store.clone()), role: None });
    let (random, stop) = (Arc::new(SystemRandom), stand.stop.clone());
    let job = OneJob::open(held, false, store, Around { clock, random, stop, turns: None }).await.unwrap();
    assert!(job.needs_no_task());
    let ended = timeout(LONG, job.run()).await.unwrap().unwrap();
    assert_eq!((ended.outcome, stand.report().len()), (Outcome::Complete, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_was_copied_is_not_read_again() {
    let stand = Stand::with(&keys(3)).await;
    let id = stand.left_suspended().await;
    // As after a crash, and the manifest is gone.
    stand.store.delete("lake", "m.csv");
    let (clock, random) = (SystemClock::new(), SystemRandom);
    let asked = ask(&stand.jobs(), id, &Wish::Confirm(None), &clock, &random).await.unwrap();
    assert_eq!(asked, Asked::Waits);
    let ended = stand.run(stand.jobs().hold(id).unwrap(), false, succeeds).await;
    assert_eq!((ended.outcome, ended.state.total), (Outcome::Complete, Some(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_standard_input_that_lost_it_fails_by_name() {
    let stand = Stand::with("").await;
    let mut spec = stand.spec();
    spec.manifest.place = ManifestPlace::StandardInput;
    let held = stand.make(&spec);
    let (id, jobs) = (held.id, stand.jobs());
    drop(held);
    let shown = look_closely(&jobs, id, &SystemClock::new()).unwrap().text();
    for text in [shown, waits_for(&jobs.look(id).unwrap()).unwrap(), stopped(&jobs, id, None)] {
        assert!(text.contains("so make the job again") && !text.contains("run --job"), "{text}");
    }
    let ended = stand.run(stand.jobs().hold(id).unwrap(), false, succeeds).await;
    assert_eq!(ended.outcome, Outcome::Failed(FailureClass::Manifest));
    assert!(ended.why.unwrap().contains("standard input"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_obeys_and_answers_within_seconds() {
    const TASKS: usize = 20_000;
    let mut stand = Stand::with(&keys(TASKS)).await;
    stand.takes = Duration::from_millis(1);
    let held = stand.make(&stand.spec());
    let id = held.id;
    let job = stand.opened(held, true, succeeds).await;
    let running = tokio::spawn(job.run());
    until("the first invocation", || stand.asked.load(Ordering::Relaxed) > 0).await;
    let (clock, random, jobs) = (SystemClock::new(), SystemRandom, stand.jobs());
    let said = ask(&jobs, id, &Wish::Pause, &clock, &random).await.unwrap();
    let Asked::Done(status) = said else { panic!("{said:?}") };
    assert!(["Pausing", "Paused"].contains(&status.as_str()), "{status}");
    until("the pause", || jobs.look(id).unwrap().now.state.status.as_str() == "Paused").await;
    let asked = stand.asked.load(Ordering::Relaxed);
    assert!(asked < TASKS as u64);
    let said = ask(&jobs, id, &Wish::Resume, &clock, &random).await.unwrap();
    assert_eq!(said, Asked::Done("Ready".to_owned()));
    let ended = timeout(LONG, running).await.unwrap().unwrap().unwrap();
    assert_eq!((ended.outcome, stand.asked.load(Ordering::Relaxed)), (Outcome::Complete, TASKS as u64));
}
