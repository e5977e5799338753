//! The options of `forebay batch`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use regex::Regex;

use crate::cli::destinations::args::time;
use crate::cli::import::args::{ShowArgs, TargetArgs};
use crate::config::units::{UnitError, within};
use crate::config::{Endpoint, Period};
use crate::jobs::invocation::Schema;
use crate::jobs::job::id::JobId;
use crate::jobs::job::spec_checks::{ATTEMPTS_MAX, CONCURRENCY_MAX, check_region};
use crate::jobs::job::state::Priority;
use crate::jobs::named_functions::NamedFunction;
use crate::object::RoleArn;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// `forebay batch …`
#[derive(Clone, Debug, Subcommand)]
pub enum BatchCommand {
    /// Run a function over every object of a manifest, or go on with a job
    Run(Box<RunJobArgs>),
    /// List all jobs, the oldest first
    #[command(after_help = "Examples:\n  forebay batch list\n  forebay batch list --json")]
    List(StateArgs),
    /// Show one job: its state, what it does, and why it failed
    #[command(after_help = "Example:\n  forebay batch describe f3cc4f60-61f6-4a2b-8a21-d07600c373ce")]
    Describe(OfJobArgs),
    /// Show the progress of a job until it has ended
    #[command(after_help = "\
Exit codes: those of `forebay batch run`.

Example:
  forebay batch watch f3cc4f60-61f6-4a2b-8a21-d07600c373ce")]
    Watch(OfJobArgs),
    /// Cancel a job: its invocations in flight end, then its report is written
    #[command(
        after_help = "Example:\n  forebay batch cancel f3cc4f60-61f6-4a2b-8a21-d07600c373ce --reason 'wrong bucket'"
    )]
    Cancel(ReasonArgs),
    /// Confirm a job that was made with --confirm
    #[command(after_help = "Example:\n  forebay batch confirm f3cc4f60-61f6-4a2b-8a21-d07600c373ce")]
    Confirm(ReasonArgs),
    /// Pause a job until it is resumed
    #[command(after_help = "Example:\n  forebay batch pause f3cc4f60-61f6-4a2b-8a21-d07600c373ce")]
    Pause(OfJobArgs),
    /// Resume a job that was paused
    #[command(after_help = "Example:\n  forebay batch resume f3cc4f60-61f6-4a2b-8a21-d07600c373ce")]
    Resume(OfJobArgs),
    /// Print where the completion report of a job is, and its counts
    #[command(after_help = "Examples:
  forebay batch report f3cc4f60-61f6-4a2b-8a21-d07600c373ce --json
  forebay batch report f3cc4f60-61f6-4a2b-8a21-d07600c373ce --rows failed > failed.csv")]
    Report(ReportArgs),
    /// Give a job another priority
    #[command(after_help = "Example:\n  forebay batch priority f3cc4f60-61f6-4a2b-8a21-d07600c373ce 20")]
    Priority(PriorityArgs),
    /// Make a manifest by listing a bucket
    Manifest(ManifestArgs),
    /// Serve the API of S3 Batch Operations, for `aws s3control` and SDKs
    #[cfg(feature = "dev")]
    Serve(Box<ServeJobsArgs>),
}

/// Where jobs are kept, and how a result is shown.
#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    /// Folder of jobs and imports; by default forebay in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR", env = "FOREBAY_STATE")]
    pub state: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// A command on one job.
#[derive(Clone, Debug, Args)]
pub struct OfJobArgs {
    /// The job's id
    #[arg(value_name = "JOB", value_parser = JobId::parse)]
    pub job: JobId,

    /// Where it is.
    #[command(flatten)]
    pub at: StateArgs,
}

/// `forebay batch report`
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The job.
    #[command(flatten)]
    pub of: OfJobArgs,

    /// Print the rows of tasks that have ended, as the report has them, of a job without a report too
    #[arg(long, value_name = "TASKS", conflicts_with = "json")]
    pub rows: Option<RowsOfReport>,
}

/// Tasks whose rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowsOfReport {
    /// Those that failed
    Failed,
    /// All that have ended
    All,
}

/// A command on one job, perhaps with a reason.
#[derive(Clone, Debug, Args)]
pub struct ReasonArgs {
    /// The job.
    #[command(flatten)]
    pub of: OfJobArgs,

    /// Why; kept with the job
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
}

/// `forebay batch priority`
#[derive(Clone, Debug, Args)]
pub struct PriorityArgs {
    /// The job.
    #[command(flatten)]
    pub of: OfJobArgs,

    /// From 0 to 2147483647; a higher one goes first
    #[arg(value_name = "N", value_parser = priority, allow_negative_numbers = true)]
    pub priority: Priority,
}

/// `forebay batch run`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Each row of the manifest is a task: the function gets the event of S3 Batch Operations for it, and its answer says what
became of it. A program (cmd:) gets one event as JSON on each line, and writes one answer on a line. A job survives
kill -9: `forebay batch run --job ID` goes on, and repeats only what was in flight.

Exit codes: 0 all tasks succeeded, 1 failed or cancelled, 2 wrong usage or manifest, 3 complete, and some tasks failed,
4 the store cannot be reached, 5 a right, a bucket or the function is missing, 130 interrupted.

Examples:
  forebay batch run --manifest s3://lake/m.csv --handler 'cmd:python3 f.py' --report s3://lake/reports
  forebay batch run --manifest m.csv --function-arn arn:aws:lambda:us-east-1:111122223333:function:copy:live
  forebay batch run --manifest s3://lake/reports/job-1/manifest.json --handler http://127.0.0.1:9000/f
  forebay batch run --manifest m.csv --handler import --config forebay.toml --source shop
  forebay batch run --job f3cc4f60-61f6-4a2b-8a21-d07600c373ce")]
pub struct RunJobArgs {
    /// The list of objects: s3://bucket/key, a file, or - for standard input. CSV, JSON lines, the manifest.json of an
    /// inventory, or that of an earlier report (its failures run again)
    #[arg(long, value_name = "PLACE", required_unless_present = "job")]
    pub manifest: Option<String>,

    /// ETag that the manifest must have
    #[arg(long, value_name = "ETAG", requires = "manifest", value_parser = NonEmptyStringValueParser::new())]
    pub manifest_etag: Option<String>,

    /// Columns of a CSV manifest: Bucket, Key, VersionId, Ignore; by default Bucket,Key or Bucket,Key,VersionId
    #[arg(long, value_name = "A,B,C", requires = "manifest", value_delimiter = ',')]
    pub fields: Vec<String>,

    /// The Lambda function: its ARN or name, with a version or an alias or without
    #[arg(long, value_name = "ARN")]
    pub function_arn: Option<String>,

    /// What is invoked in place of a Lambda function: cmd:PROGRAM ARGUMENTS, an http:// or https:// address, import, or
    /// import:NAME
    #[arg(long, value_name = "HANDLER", conflicts_with = "function_arn")]
    pub handler: Option<String>,

    /// Form of the events: 1.0 or 2.0
    #[arg(long, value_name = "VERSION", default_value = "1.0", value_parser = Schema::parse)]
    pub schema: Schema,

    /// Argument of every event, as name=value; repeatable, needs --schema 2.0
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub user_arg: Vec<(String, String)>,

    /// Role for manifest, report and function; it is assumed with the external id forebay-batch
    #[arg(long, value_name = "ARN", value_parser = RoleArn::parse)]
    pub role_arn: Option<RoleArn>,

    /// From 0 to 2147483647
    #[arg(long, value_name = "N", default_value = "10")]
    #[arg(value_parser = priority, allow_negative_numbers = true)]
    pub priority: Priority,

    /// Text for people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Where the completion report goes: s3://bucket/prefix; without it there is none
    #[arg(long, value_name = "PLACE")]
    pub report: Option<String>,

    /// Tasks in the report
    #[arg(long, value_enum, value_name = "SCOPE", default_value = "AllTasks")]
    pub report_scope: ScopeOfReport,

    /// Invocations at once; by default 100, for a program one a core, and for an import 4 of at most 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CONCURRENCY_MAX)))]
    pub concurrency: Option<u32>,

    /// Attempts of a task in all
    #[arg(long, value_name = "N", default_value = "6",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(ATTEMPTS_MAX)))]
    pub max_attempts: u32,

    /// How long an invocation may take; by default 60 s, and for an import 15 min
    #[arg(long, value_name = "DURATION", value_parser = task_timeout)]
    pub task_timeout: Option<Period>,

    /// The job fails if more of its executed tasks failed than this, in per cent
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub failure_percent: u32,

    /// Executed tasks below which the job does not fail by that
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    pub failure_min_tasks: u64,

    /// Wait until the job is confirmed, once its manifest is read
    #[arg(long)]
    pub confirm: bool,

    /// Read the manifest through, print what would be run, and run nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Go on with this job; no other option is needed
    #[arg(long, value_name = "ID", value_parser = JobId::parse, conflicts_with_all = [
        "manifest", "function_arn", "handler", "user_arg", "role_arn", "description", "report", "confirm", "dry_run",
        "source", "token_file", "collector", "journal",
    ])]
    pub job: Option<JobId>,

    /// Folder of jobs and imports; by default forebay in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR", env = "FOREBAY_STATE")]
    pub state: Option<PathBuf>,

    /// URL of the store, if it is not AWS; by default AWS_ENDPOINT_URL
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// URL of the service that invokes functions; by default AWS_ENDPOINT_URL, that of --endpoint-url, or AWS
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_LAMBDA", value_parser = Endpoint::parse)]
    pub lambda_endpoint_url: Option<Endpoint>,

    /// URL of the token service that gives the session of --role-arn, if it is not AWS's own; by default AWS_ENDPOINT_URL
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_STS", value_parser = Endpoint::parse)]
    pub sts_endpoint_url: Option<Endpoint>,

    /// With --handler import: source of the calls; by default the only one, or csv in dev mode
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// With --handler import: write key of the source of the calls, if --source does not name it. It is not kept: give it
    /// also with --job
    #[arg(long, value_name = "KEY", env = "FOREBAY_WRITE_KEY", hide_env_values = true)]
    pub write_key: Option<String>,

    /// With --handler import: the target of the calls.
    #[command(flatten)]
    pub target: TargetArgs,

    /// How the result is shown.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// Tasks in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum ScopeOfReport {
    /// All tasks that ended.
    AllTasks,
    /// Those that failed.
    FailedTasksOnly,
}

/// `forebay batch manifest`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Keys are encoded so that Python's unquote and unquote_plus give them back. The manifest is printed, or put into a
bucket: its ETag is then printed.

Exit codes: 0 success, 1 failure, 2 wrong usage, 4 the store cannot be reached, 5 access denied.

Examples:
  forebay batch manifest --bucket lake --prefix raw/ > m.csv
  forebay batch manifest --bucket lake --match '[.]jpg$' --newer-than 2026-11-01 --to s3://lake/m.csv")]
pub struct ManifestArgs {
    /// The bucket
    #[arg(long, value_name = "NAME")]
    pub bucket: String,

    /// Only keys with this beginning
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub prefix: String,

    /// Only keys that this regular expression matches anywhere
    #[arg(long = "match", value_name = "REGEX")]
    pub matches: Option<Regex>,

    /// Only objects that were stored after this: 2026-11-20, or 2026-11-20T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub newer_than: Option<UnixMillis>,

    /// Where the manifest is put: s3://bucket/key
    #[arg(long, value_name = "PLACE")]
    pub to: Option<String>,

    /// URL of the store, if it is not AWS; by default AWS_ENDPOINT_URL
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// With --to: print the result as JSON
    #[arg(long, requires = "to")]
    pub json: bool,
}

/// `forebay batch serve`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Clients sign with the keys in FOREBAY_BATCH_ACCESS_KEY_ID and FOREBAY_BATCH_SECRET_ACCESS_KEY. Without them the keys are
`forebay` and `forebay-secret`, and only clients on this machine are served. Clients reach the address as their proxy
(HTTP_PROXY), since they put the account id before the host. Jobs go on at the next start, also after kill -9.

Exit codes: 0 ended by a signal, 1 failure, 2 wrong usage.

Examples:
  forebay batch serve --listen 127.0.0.1:9100
  forebay batch serve --listen 127.0.0.1:9100 --function 'copy=cmd:python3 f.py' --endpoint-url http://127.0.0.1:9000")]
pub struct ServeJobsArgs {
    /// Address of the API; port 0 selects any free port
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,

    /// Folder of jobs and imports; by default forebay in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR", env = "FOREBAY_STATE")]
    pub state: Option<PathBuf>,

    /// Jobs whose tasks run at once; a job with a higher priority pauses another one
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=ACTIVE_JOBS_MAX))]
    pub active_jobs: u16,

    /// What is invoked in place of a Lambda function: its name or ARN, =, and cmd:PROGRAM ARGUMENTS or an http:// or
    /// https:// address; repeatable. Other functions are invoked in AWS
    #[arg(long = "function", value_name = "NAME=HANDLER", value_parser = NamedFunction::parse)]
    pub functions: Vec<NamedFunction>,

    /// URL of the store and of the functions, if they are not in AWS; by default AWS_ENDPOINT_URL. The roles of jobs are
    /// then not assumed, and programs have it as AWS_ENDPOINT_URL_S3
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// Address of /metrics, such as 127.0.0.1:9464; other machines read it if the address is not of loopback
    #[arg(long, value_name = "ADDR")]
    pub metrics_listen: Option<SocketAddr>,

    /// Region of the ARNs of jobs
    #[arg(long, value_name = "REGION", env = "AWS_REGION", default_value = "us-east-1", value_parser = region)]
    pub region: String,
}

/// The most jobs whose tasks run at once: each has connections or programs of its own.
const ACTIVE_JOBS_MAX: i64 = 100;

fn region(text: &str) -> Result<String, String> {
    check_region(text).map(|()| text.to_owned())
}

fn priority(text: &str) -> Result<Priority, String> {
    let number = text.parse().map_err(|_| format!("expected a number from 0 to {}", Priority::MAX))?;
    Priority::new(number)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn task_timeout(text: &str) -> Result<Period, String> {
    let period = text.parse().map_err(|error: UnitError| error.to_string())?;
    within("a duration", period, &(Period::from_millis(100)..=Period::from_secs(86_400)))
}
