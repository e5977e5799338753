//! `forebay batch run`: a job from its options to its exit code.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{RunJobArgs, ScopeOfReport};
use super::folder::{below, endpoint, state_of};
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::print_either;
use crate::jobs::job::folder::JobsFolder;
use crate::jobs::job::id::JobId;
use crate::jobs::job::import_way::ImportWay;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{Endpoints, JobSpec, MadeBy, ManifestSpec, ReportScope};
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::FailureClass;
use crate::jobs::manifest::fields::Fields;
use crate::node::jobs::for_imports::ForImports;
use crate::node::jobs::job_error::JobError;
use crate::node::jobs::new_job::{
    absolute, dry_run, known_write_key, manifest_place, report_place, usual_concurrency, usual_timeout,
};
use crate::node::jobs::one_job::{Around, OneJob};
use crate::node::jobs::outcome::Outcome;
use crate::node::jobs::shown::{JobShown, ProgressShown, goes_on, look_closely, stopped};
use crate::node::jobs::tidying::tidy;
use crate::node::jobs::tools::{JobStore, JobTools, ToolsError, ToolsFrom, store_of};
use crate::runtime::progress::while_shown;
use crate::runtime::say::say;
use crate::runtime::{Background, Shutdown, StageWords, SystemClock, SystemRandom};
use crate::time::{Clock as _, whole_millis};

pub(super) const STAGE_WORDS: StageWords =
    StageWords { orderly: "waiting for the invocations in flight", immediate: "stopping at once" };

/// Runs a job to its end. The first signal lets its invocations in flight end. A second one abandons them,
/// which is as safe as a kill.
/// Errors: [`Failure`], also if the job or a task failed.
pub(super) async fn run(
    args: &RunJobArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if args.dry_run {
        return only_look(args, out).await;
    }
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    let folder = below(args.state.as_ref())?;
    tidy(&folder, SystemClock::new().wall())?;
    let write_key = args.write_key.as_deref();
    let process = ForImports { background, write_key, stop: shutdown.orderly.clone() };
    let job = opened(args, &folder, &process).await?;
    let interrupted =
        |id, error: Option<&JobError>| Failure::with_code(failure::INTERRUPTED, stopped(&folder, id, error));
    let (id, progress) = (job.id(), job.progress());
    match args.show.json {
        true => tracing::info!("job {id}"),
        false => say(&format!("job {id}")),
    }
    let now = || ProgressShown::of(&progress.borrow());
    let end = tokio::select! {
        end = while_shown(job.run(), now, args.show.progress) => match end {
            Err(error) if shutdown.orderly.is_cancelled() && error.is_no_space() => {
                return Err(interrupted(id, Some(&error)));
            }
            end => end?,
        },
        () = shutdown.immediate.cancelled() => return Err(interrupted(id, None)),
    };
    let shown = look_closely(&folder, id, &SystemClock::new())?;
    print_either(out, args.show.json, &shown, || shown.text()).and_then(|()| out.flush())?;
    match (end.outcome, end.left) {
        (Outcome::Interrupted, _) => Err(interrupted(id, None)),
        (Outcome::Complete, Some(left)) => Err(Failure::failed(left)),
        (outcome, left) => {
            left.iter().for_each(|left| tracing::warn!("{left}"));
            ended(outcome, &shown, &end.state, end.why).map_or(Ok(()), Err)
        }
    }
}

/// The job of `--job`, or a new one. What it works with is tried before a job is made.
async fn opened(args: &RunJobArgs, folder: &JobsFolder, process: &ForImports<'_>) -> Result<OneJob, Failure> {
    let around = Around {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
        stop: process.stop.clone(),
        turns: None,
    };
    let Some(id) = args.job else {
        let (id, spec) = (JobId::random(&SystemRandom), spec(args)?);
        let tools = JobTools::with_imports(&spec, id, process).await.map_err(wrong_tools)?;
        return Ok(OneJob::open(folder.make(id, &spec)?, true, tools, around).await?);
    };
    let held = folder.hold(id)?;
    if let MadeBy::Api { .. } = held.spec.made_by {
        let what = goes_on(&held.spec, id, &held.option);
        return Err(Failure::usage(format!("job {id} was made through the API: {what}")));
    }
    let store = ToolsFrom::None(JobStore::of(&held.spec).await);
    let mut job = OneJob::open(held, false, store, around).await?;
    // A request to cancel it comes first: what runs its tasks may be gone.
    job.obey().await?;
    if !job.needs_no_task() {
        job.give(JobTools::with_imports(job.spec(), id, process).await.map_err(wrong_tools)?);
    }
    Ok(job)
}

fn wrong_tools(error: ToolsError) -> Failure {
    match error {
        ToolsError::Import(error) => Failure::from(*error),
        other => Failure::usage(Failure::from(other).to_string()),
    }
}

/// Where the rows of imported objects go. A write key may stand in the environment and have no meaning here.
fn way(args: &RunJobArgs, operation: &Operation) -> Result<Option<ImportWay>, Failure> {
    let Operation::Import(name) = operation else {
        return match args.source.is_some()
            || args.target.collector.is_some()
            || args.target.token_file.is_some()
        {
            true => Err(Failure::usage("--source, --collector and --token-file are for --handler import")),
            false => Ok(None),
        };
    };
    let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose().map_err(Failure::usage);
    let state = state_of(args.state.as_ref());
    let names_source = |_: &&str| args.source.is_none() || args.target.collector.is_some();
    let write_key = args.write_key.as_deref().filter(names_source).filter(|_| name.is_none());
    let keeps_key =
        |key: &str| known_write_key(key).map_err(|what| Failure::usage(format!("--write-key: {what}")));
    Ok(Some(ImportWay {
        source: args.source.as_ref().map(ToString::to_string),
        write_key: write_key.map(keeps_key).transpose()?,
        admin: args.target.admin.as_ref().map(ToString::to_string),
        token_file: path(&args.target.token_file)?,
        config: path(&args.target.config)?,
        collector: args.target.collector.as_ref().map(|url| url.as_str().to_owned()),
        journal: args.target.journal.clone(),
        state: absolute(&state).map_err(Failure::usage)?,
    }))
}

/// What the options ask for. Errors: [`Failure`], with all wrong values.
fn spec(args: &RunJobArgs) -> Result<JobSpec, Failure> {
    let usage = |option: &'static str| move |what: String| Failure::usage(format!("{option}: {what}"));
    let operation = match (&args.function_arn, args.handler.as_deref()) {
        (Some(arn), _) => Operation::Function(arn.clone()),
        (None, typed) => Operation::handler(typed.unwrap_or_default()).map_err(usage("--handler"))?,
    };
    let (usual, timeout) = (usual_concurrency(&operation), usual_timeout(&operation));
    let fields = (!args.fields.is_empty()).then(|| args.fields.clone());
    if let Some(fields) = &fields {
        Fields::new(fields.iter().map(String::as_str))
            .map_err(|error| Failure::usage(format!("--fields: {error}")))?;
    }
    let scope = match args.report_scope {
        ScopeOfReport::AllTasks => ReportScope::AllTasks,
        ScopeOfReport::FailedTasksOnly => ReportScope::FailedTasksOnly,
    };
    let report = args.report.as_deref().map(|typed| report_place(typed, scope)).transpose();
    // A job that is gone on with in another folder finds the files of its program.
    let folder = std::env::current_dir().ok().and_then(|folder| folder.into_os_string().into_string().ok());
    let spec = JobSpec {
        folder: folder.filter(|_| matches!(operation, Operation::Command(_))),
        import: way(args, &operation)?,
        operation,
        schema: args.schema,
        user_arguments: args.user_arg.clone(),
        manifest: ManifestSpec {
            place: manifest_place(args.manifest.as_deref().unwrap_or_default())
                .map_err(usage("--manifest"))?,
            etag: args.manifest_etag.as_ref().map(|etag| etag.trim_matches('"').to_owned()),
            format: None,
            fields,
        },
        report: report.map_err(usage("--report"))?,
        priority: args.priority,
        role: args.role_arn.clone(),
        description: args.description.clone(),
        confirmation_required: args.confirm,
        client_request_token: None,
        tags: Vec::new(),
        concurrency: args.concurrency.unwrap_or(usual),
        max_attempts: args.max_attempts,
        task_timeout_ms: whole_millis(args.task_timeout.map_or(timeout, |period| period.get())),
        failure_percent: args.failure_percent,
        failure_min_tasks: args.failure_min_tasks,
        endpoints: Endpoints {
            store: endpoint(args.endpoint_url.as_ref())?,
            functions: endpoint(args.lambda_endpoint_url.as_ref())?,
            tokens: endpoint(args.sts_endpoint_url.as_ref())?,
        },
        made_by: MadeBy::Run,
        made_at: SystemClock::new().wall(),
    };
    spec.check().map_err(|wrong| Failure::usage(wrong.to_string()))?;
    Ok(spec)
}

async fn only_look(args: &RunJobArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let spec = spec(args)?;
    if spec.import.is_none() {
        // To open the way of rows would change something.
        JobTools::of(&spec, JobId::random(&SystemRandom)).await.map_err(wrong_tools)?;
    }
    let store = store_of(&spec.endpoints).await;
    let looked = dry_run(&spec, store, Arc::new(SystemRandom)).await;
    let looked = looked.map_err(|(outcome, why)| Failure::with_code(exit_code(outcome), why))?;
    Ok(print_either(out, args.show.json, &looked, || looked.text())?)
}

/// The exit code of a command whose job ended like this.
pub(super) fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Complete => 0,
        Outcome::SomeFailed => failure::SOME_REJECTED,
        Outcome::Failed(FailureClass::Manifest) => failure::WRONG_USAGE,
        Outcome::Failed(FailureClass::Unreachable) => failure::UNREACHABLE,
        Outcome::Failed(FailureClass::Access) => failure::DENIED,
        Outcome::Failed(FailureClass::Other) | Outcome::Cancelled => failure::FAILED,
        Outcome::Interrupted => failure::INTERRUPTED,
    }
}

/// The failure of a command whose job has ended, if any.
pub(super) fn ended(
    outcome: Outcome,
    shown: &JobShown,
    state: &JobState,
    why: Option<String>,
) -> Option<Failure> {
    let complaint = shown.complaint(outcome, state, why)?;
    Some(Failure::with_code(exit_code(outcome), complaint))
}
