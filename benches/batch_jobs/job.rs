//! A job with a manifest in a file, and a store that takes its report and keeps nothing.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay::boxed_future::BoxFuture;
use forebay::jobs::handlers::{Ended, Handler};
use forebay::jobs::invocation::{Invocation, Schema};
use forebay::jobs::job::folder::{HeldJob, JobsFolder};
use forebay::jobs::job::id::JobId;
use forebay::jobs::job::operation::Operation;
use forebay::jobs::job::spec::{
    Endpoints, JobSpec, MadeBy, ManifestPlace, ManifestSpec, ReportScope, ReportSpec,
};
use forebay::jobs::job::state::Priority;
use forebay::jobs::job::status::Status;
use forebay::node::jobs::one_job::{Around, OneJob};
use forebay::node::jobs::outcome::Outcome;
use forebay::node::jobs::tools::JobTools;
use forebay::object::{ObjectKey, S3Location};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::store::reader::{ByteRange, ListFrom, ListPage, ObjectBody, RangeBytes, Store, StoreReader};
use forebay::store::{Attempted, Fault, Head, ObjectStore, ObjectVersion, Put, StoreError, Stored};
use forebay::time::Clock as _;
use tokio_util::sync::CancellationToken;

use crate::server::answer_with;

/// The key on a row.
pub(crate) fn key(row: u64) -> String {
    format!("2026/11/27/{row:012}.json.gz")
}

/// Writes a manifest of so many rows.
pub(crate) fn manifest(dir: &Path, rows: u64) -> PathBuf {
    let path = dir.join(format!("manifest-{rows}.csv"));
    let mut file = BufWriter::new(File::create(&path).expect("a file"));
    for row in 0..rows {
        writeln!(file, "lake,{}", key(row)).expect("space");
    }
    file.flush().expect("space");
    path
}

/// A store that takes everything, and has nothing.
#[derive(Clone, Copy, Debug)]
struct Nowhere;

fn missing<T: Send + 'static>() -> Attempted<'static, T> {
    Box::pin(async { Err(StoreError::local(Fault::NotFound, "nothing is kept here")) })
}

impl ObjectStore for Nowhere {
    fn put<'a>(&'a self, _: &'a Put) -> Attempted<'a, Stored> {
        Box::pin(async { Ok(Stored { etag: None, applied: None, version: None }) })
    }

    fn head<'a>(&'a self, _: &'a S3Location, _: &'a ObjectKey) -> Attempted<'a, Head> {
        missing()
    }
}

impl StoreReader for Nowhere {
    fn list<'a>(&'a self, _: &'a S3Location, _: ListFrom<'a>) -> Attempted<'a, ListPage> {
        missing()
    }

    fn head_of<'a>(&'a self, _: &'a S3Location, _: &'a ObjectKey, _: Option<&'a str>) -> Attempted<'a, Head> {
        missing()
    }

    fn get<'a>(&'a self, _: &'a S3Location, _: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        missing()
    }

    fn range<'a>(
        &'a self,
        _: &'a S3Location,
        _: &'a ObjectKey,
        _: Option<&'a ObjectVersion>,
        _: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        missing()
    }
}

impl Store for Nowhere {
    fn replace<'a>(&'a self, _: &'a Put, _: &'a str) -> Attempted<'a, Stored> {
        missing()
    }
}

/// A handler that answers at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtOnce;

impl Handler for AtOnce {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        let body = answer_with(&invocation.id, &invocation.task_id);
        Box::pin(async move { Ended::Answered { status: 200, body } })
    }
}

/// Notes when the first invocation began.
#[derive(Debug)]
struct Noting {
    handler: Arc<dyn Handler>,
    clock: SystemClock,
    first: Arc<OnceLock<Duration>>,
}

impl Handler for Noting {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        if self.first.get().is_none() {
            self.first.get_or_init(|| self.clock.monotonic());
        }
        self.handler.invoke(invocation)
    }
}

/// How long the stages of a job took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// From the beginning to the first invocation.
    pub(crate) until_first: Duration,
    /// Its status was Preparing.
    pub(crate) preparing: Duration,
    /// From the first invocation to the end of the last task.
    pub(crate) tasks: Duration,
    /// From the end of the last task to that of the job.
    pub(crate) report: Duration,
}

/// Makes a job of this manifest.
pub(crate) fn make(state: &Path, manifest: &Path, concurrency: u64) -> HeldJob {
    let place = ManifestPlace::File(manifest.to_str().expect("UTF-8").to_owned());
    let spec = JobSpec {
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
        concurrency: u32::try_from(concurrency).expect("a small number"),
        max_attempts: 6,
        task_timeout_ms: 60_000,
        failure_percent: 50,
        failure_min_tasks: 1_000,
        folder: None,
        import: None,
        endpoints: Endpoints::default(),
        made_by: MadeBy::Run,
        made_at: SystemClock::new().wall(),
    };
    let jobs = JobsFolder::open(state).expect("a folder");
    jobs.make(JobId::random(&SystemRandom), &spec).expect("a job")
}

/// Runs a job to its end.
pub(crate) async fn run(held: HeldJob, is_new: bool, handler: Arc<dyn Handler>) -> Took {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    let first = Arc::new(OnceLock::new());
    let handler = Arc::new(Noting { handler, clock, first: Arc::clone(&first) });
    let tools = JobTools { store: Arc::new(Nowhere), handler, role: None };
    let around = Around {
        clock: Arc::new(clock),
        random: Arc::new(SystemRandom),
        stop: CancellationToken::new(),
        turns: None,
    };
    let job = OneJob::open(held, is_new, tools, around).await.expect("a job");
    let mut progress = job.progress();
    let watching = async {
        let mut at = async |is_so: fn(Status) -> bool| {
            progress.wait_for(|now| is_so(now.status)).await.expect("a job that runs");
            clock.monotonic()
        };
        let preparing = at(|status| status >= Status::Preparing).await;
        let ready = at(|status| status >= Status::Ready).await;
        let completing = at(|status| status >= Status::Completing).await;
        (preparing, ready, completing)
    };
    let (end, (preparing, ready, completing)) = tokio::join!(job.run(), watching);
    assert_eq!(end.expect("a job").outcome, Outcome::Complete);
    let first = *first.get().expect("an invocation");
    Took {
        until_first: first - began,
        preparing: ready - preparing,
        tasks: completing - first,
        report: clock.monotonic() - completing,
    }
}
