//! A server with a store in memory and functions of this process. Time is simulated: it passes while all wait.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{JobsServer, MakeTools, ServerSettings};
use crate::boxed_future::BoxFuture;
use crate::jobs::api::answers::JobDescription;
use crate::jobs::api::api_answer::ApiAnswer;
use crate::jobs::api::api_call::{ApiCall, ListJobs, RequestedStatus};
use crate::jobs::api::api_error::{ApiError, ApiErrorCode};
use crate::jobs::handlers::{Ended, Handler};
use crate::jobs::invocation::Invocation;
use crate::jobs::job::folder::JobsFolder;
use crate::jobs::job::id::JobId;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::JobSpec;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::node::jobs::tools::{JobStore, JobTools, ToolsError, location};
use crate::object::ObjectKey;
use crate::random::Random;
use crate::runtime::SystemRandom;
use crate::store::fake::FakeStore;
use crate::store::{ObjectStore as _, Put, PutMode};
use crate::time::{Clock, UnixMillis};

pub(super) const ACCOUNT: &str = "123456789012";
/// The tasks of a job: at 100 at once it is Active for 20 s.
pub(super) const TASKS: u64 = 2_000;
const TASK_TAKES: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(7_200);

/// The time of the runtime; the wall clock can be set.
#[derive(Debug)]
pub(super) struct Simulated {
    start: Instant,
    ahead_ms: AtomicI64,
}

impl Clock for Simulated {
    fn wall(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000 + self.ahead_ms.load(Ordering::Relaxed)).plus(self.monotonic())
    }
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// What is known of the functions of all jobs.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often each task was invoked, by job and key.
    pub(super) invoked: BTreeMap<(String, String), u64>,
    /// Invocations under way, by job.
    under_way: BTreeMap<String, u64>,
    /// The most jobs with invocations under way.
    pub(super) most_jobs: usize,
}

/// The tools of all jobs: a function of this process.
#[derive(Debug)]
pub(super) struct InProcess {
    store: FakeStore,
    pub(super) seen: Arc<Mutex<Seen>>,
    /// How many calls fail before tools are made; those of odd numbers panic.
    pub(super) fails: AtomicU64,
    pub(super) made: AtomicU64,
}

impl MakeTools for InProcess {
    fn check(&self, spec: &JobSpec) -> Result<Operation, String> {
        match &spec.operation {
            Operation::Function(name) if name.ends_with("unknown") => {
                Err("start it with --function".to_owned())
            }
            operation => Ok(operation.clone()),
        }
    }

    fn store(&self, _: &JobSpec) -> JobStore {
        JobStore { store: Arc::new(self.store.clone()), role: None }
    }

    fn tools<'a>(&'a self, _: &'a JobSpec, _: JobId) -> BoxFuture<'a, Result<JobTools, ToolsError>> {
        Box::pin(async move {
            let fails = self.fails.load(Ordering::Relaxed);
            if fails > 0 {
                self.fails.store(fails - 1, Ordering::Relaxed);
                assert!(fails.is_multiple_of(2), "the tools cannot be made");
                return Err(ToolsError::NotNamed("nothing to work with".to_owned()));
            }
            self.made.fetch_add(1, Ordering::Relaxed);
            let handler = Arc::new(Function(Arc::clone(&self.seen)));
            Ok(JobTools { store: Arc::new(self.store.clone()), handler, role: None })
        })
    }
}

#[derive(Debug)]
struct Function(Arc<Mutex<Seen>>);

/// An invocation that is under way; also if it is dropped.
struct UnderWay<'a>(&'a Mutex<Seen>, String);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut seen = lock(self.0);
        let left = seen.under_way.get_mut(&self.1).unwrap();
        *left -= 1;
        if *left == 0 {
            seen.under_way.remove(&self.1);
        }
    }
}

impl Handler for Function {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let event: Value = serde_json::from_slice(&invocation.body).unwrap();
            let (job, task) = (event["job"]["id"].as_str().unwrap().to_owned(), &event["tasks"][0]);
            let key = task["s3Key"].as_str().unwrap().to_owned();
            {
                let mut seen = lock(&self.0);
                *seen.invoked.entry((job.clone(), key)).or_default() += 1;
                *seen.under_way.entry(job.clone()).or_default() += 1;
                seen.most_jobs = seen.most_jobs.max(seen.under_way.len());
            }
            let _under_way = UnderWay(&self.0, job);
            sleep(TASK_TAKES).await;
            let result = json!({"taskId": task["taskId"], "resultCode": "Succeeded", "resultString": ""});
            let answer = json!({
                "invocationSchemaVersion": "1.0", "invocationId": event["invocationId"], "results": [result],
            });
            Ended::Answered { status: 200, body: Bytes::from(answer.to_string()) }
        })
    }
}

/// A folder of jobs, a store with a manifest, and servers one after the other.
pub(super) struct Stand {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: FakeStore,
    pub(super) clock: Arc<Simulated>,
    pub(super) random: Arc<dyn Random>,
    pub(super) tools: Arc<InProcess>,
    pub(super) metrics: Metrics,
    etag: String,
}

impl Stand {
    pub(super) async fn new() -> Self {
        Self::with(TASKS).await
    }

    /// With a manifest of so many tasks.
    pub(super) async fn with(tasks: u64) -> Self {
        let store = FakeStore::new();
        let manifest: String = (0..tasks).map(|n| format!("lake,k{n}\n")).collect();
        let put = Put::plain(
            location("lake", None).unwrap(),
            ObjectKey::listed("m.csv"),
            manifest,
            PutMode::Overwrite,
        );
        let etag = store.put(&put).await.unwrap().etag.unwrap().trim_matches('"').to_owned();
        let tools = InProcess {
            store: store.clone(),
            seen: Arc::default(),
            fails: AtomicU64::new(0),
            made: AtomicU64::new(0),
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            store,
            clock: Arc::new(Simulated { start: Instant::now(), ahead_ms: AtomicI64::new(0) }),
            random: Arc::new(SystemRandom),
            tools: Arc::new(tools),
            metrics: Metrics::new(),
            etag,
        }
    }

    pub(super) fn folder(&self) -> JobsFolder {
        JobsFolder::open(self.dir.path()).unwrap()
    }

    pub(super) async fn serve(&self, active_jobs: usize) -> JobsServer {
        let settings = ServerSettings {
            folder: self.folder(),
            active_jobs,
            region: "us-east-1".to_owned(),
            tools: Arc::clone(&self.tools) as _,
            clock: Arc::clone(&self.clock) as _,
            random: Arc::clone(&self.random),
            metrics: self.metrics.clone(),
        };
        JobsServer::start(settings).await.unwrap()
    }

    /// Sets the wall clock forward.
    pub(super) fn pass_days(&self, days: i64) {
        self.clock.ahead_ms.fetch_add(days * 86_400_000, Ordering::Relaxed);
    }

    /// The body of a create-job request.
    pub(super) fn request(&self, token: &str, priority: u32, more: &str) -> String {
        format!(
            "<CreateJobRequest><Operation><LambdaInvoke><FunctionArn>f</FunctionArn></LambdaInvoke></Operation>\
             <Report><Bucket>arn:aws:s3:::reports</Bucket><Format>Report_CSV_20180820</Format><Enabled>true</Enabled>\
             <Prefix>p</Prefix><ReportScope>AllTasks</ReportScope></Report>\
             <ClientRequestToken>{token}</ClientRequestToken><Manifest><Spec>\
             <Format>S3BatchOperations_CSV_20180820</Format><Fields><member>Bucket</member><member>Key</member></Fields>\
             </Spec><Location><ObjectArn>arn:aws:s3:::lake/m.csv</ObjectArn><ETag>{}</ETag></Location></Manifest>\
             <Priority>{priority}</Priority><RoleArn>arn:aws:iam::123456789012:role/r</RoleArn>{more}\
             </CreateJobRequest>",
            self.etag
        )
    }

    /// Makes a job that needs no confirmation.
    pub(super) async fn make(&self, server: &JobsServer, token: &str, priority: u32) -> String {
        let request = self.request(token, priority, "<ConfirmationRequired>false</ConfirmationRequired>");
        create(server, &request).await.unwrap()
    }

    /// How often tasks of a job were invoked, and the most often one was.
    pub(super) fn invoked(&self, job: &str) -> (u64, u64) {
        let seen = lock(&self.tools.seen);
        let of_job = || seen.invoked.iter().filter(|((of, _), _)| of == job).map(|(_, count)| *count);
        (of_job().sum(), of_job().max().unwrap_or(0))
    }

    pub(super) fn most_jobs(&self) -> usize {
        lock(&self.tools.seen).most_jobs
    }

    /// Keys of the report of a job.
    pub(super) fn report(&self, job: &str) -> usize {
        let folder = format!("p/job-{job}/");
        self.store.keys().into_iter().filter(|(_, key)| key.starts_with(&folder)).count()
    }
}

pub(super) async fn create(server: &JobsServer, request: &str) -> Result<String, ApiError> {
    match server.answer(ACCOUNT, ApiCall::CreateJob, request.as_bytes()).await? {
        ApiAnswer::Created(id) => Ok(id),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn try_describe(server: &JobsServer, job: &str) -> Result<JobDescription, ApiError> {
    match server.answer(ACCOUNT, ApiCall::DescribeJob(job.to_owned()), b"").await? {
        ApiAnswer::Described(job) => Ok(*job),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn describe(server: &JobsServer, job: &str) -> JobDescription {
    try_describe(server, job).await.unwrap()
}

pub(super) async fn update(
    server: &JobsServer,
    job: &str,
    to: RequestedStatus,
) -> Result<String, ApiErrorCode> {
    let call = ApiCall::UpdateJobStatus { id: job.to_owned(), to, reason: Some("why".to_owned()) };
    match server.answer(ACCOUNT, call, b"").await {
        Ok(ApiAnswer::StatusUpdated { status, .. }) => Ok(status),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code),
    }
}

pub(super) async fn set_priority(server: &JobsServer, job: &str, priority: u32) -> Result<(), ApiErrorCode> {
    let call = ApiCall::UpdateJobPriority { id: job.to_owned(), priority };
    server.answer(ACCOUNT, call, b"").await.map(drop).map_err(|error| error.code)
}

pub(super) async fn list(
    server: &JobsServer,
    statuses: &[&str],
    most: usize,
    token: Option<String>,
) -> Result<(Vec<JobDescription>, Option<String>), ApiError> {
    let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
    match server
        .answer(ACCOUNT, ApiCall::ListJobs(ListJobs { statuses, most, next_token: token }), b"")
        .await?
    {
        ApiAnswer::Listed { jobs, next_token } => Ok((jobs, next_token)),
        other => panic!("{other:?}"),
    }
}

/// Waits until a job has a status.
pub(super) async fn until(server: &JobsServer, job: &str, status: &str) -> JobDescription {
    until_so(server, job, status, |now| now.status == status).await
}

/// Waits until something is so of a job.
pub(super) async fn until_so(
    server: &JobsServer,
    job: &str,
    what: &str,
    is_so: impl Fn(&JobDescription) -> bool,
) -> JobDescription {
    let began = Instant::now();
    loop {
        let now = describe(server, job).await;
        if is_so(&now) {
            return now;
        }
        assert!(began.elapsed() < LONG, "not so: {what}: {now:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
