//! The command line: commands, options and their help.

#[cfg(feature = "lambda")]
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::admin::AskedCalls;
use crate::arn::{Arn, Identity};
use crate::config::units::{UnitError, within};
use crate::config::{ByteSize, Endpoint, Period};
use crate::object::{AccountId, BucketString, ExternalId, KmsKey, RoleArn, Stream, object_key};
use crate::policy::{PolicyManifest, PolicyName, place_of_reports};
use crate::receipt::Receipt;
use crate::runtime::telemetry::LogLevel;
use crate::sources::SourceId;
use crate::store::region::region_name;
use crate::time::{ReceivedDay, UnixMillis};
use crate::version;
use crate::words::url::without_secrets;

use super::admin_args::AdminArgs;
use super::batch::args::BatchCommand;
use super::destinations::args::DestinationsCommand;
#[cfg(feature = "dev")]
use super::dev::DevArgs;
use super::import::args::ImportCommand;
#[cfg(feature = "kafka")]
use super::kafka::args::KafkaCommand;
use super::resolve_action::ResolveAction;
use crate::admin_client::AdminUrl;

/// Accepts tracking API calls from unmodified SDKs and writes each exactly once to S3, as gzipped
/// newline-delimited JSON
#[derive(Clone, Debug, Parser)]
#[command(
    name = "forebay",
    version = version::with_commit(),
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Start with `forebay dev`: it needs no set-up, and prints the next steps. Colours appear on a terminal only, and not
if NO_COLOR is set.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration.

Examples:
  forebay dev --demo
  forebay tail
  forebay serve --config /etc/forebay/forebay.toml
  forebay help import csv")]
pub struct Cli {
    /// Log level; the log goes to standard error
    #[arg(
        long,
        global = true,
        display_order = 100,
        value_enum,
        value_name = "LEVEL",
        env = "FOREBAY_LOG",
        default_value_t
    )]
    pub log: LogLevel,

    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Try Forebay on this machine: collector, admin listener and S3 server in one process, without set-up
    #[cfg(feature = "dev")]
    Dev(DevArgs),
    /// Run the process that forebay.toml describes: it accepts calls and delivers them to buckets
    Serve(ServeArgs),
    /// Test the configuration: credentials, role, bucket, encryption, key, disk, ports
    Check(CheckArgs),
    /// Show the state of a running process: problems, spool or partitions, waiting calls, latest deliveries
    Status(StatusArgs),
    /// Show the calls of a running collector as they arrive
    Tail(TailArgs),
    /// Deliver all calls that a running collector has buffered, without delay; waits up to 30 s
    Flush(FlushArgs),
    /// Test the functions of destinations, see what they got, send calls again, and drop what waits for a
    /// removed destination
    #[command(subcommand)]
    #[command(after_help = "Example:\n  forebay destinations status")]
    Destinations(DestinationsCommand),
    /// Print an AWS policy, filled in from the configuration and flags
    Policy(Box<PolicyArgs>),
    /// Examine, export or empty a spool that no process uses
    #[command(subcommand)]
    #[command(after_help = "Example:\n  forebay spool inspect /var/lib/forebay")]
    Spool(SpoolCommand),
    /// Prove from the bucket alone that no object is missing; with --deep, also that no object is damaged and
    /// no call is duplicated
    Verify(VerifyArgs),
    /// Wait until all nodes have closed a source's day
    Wait(WaitArgs),
    /// Import rows of files as calls, each exactly once
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  forebay import csv track_1.csv\n  forebay import list")]
    Import(ImportCommand),
    /// Run a function over every object of a manifest, as S3 Batch Operations does
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  forebay batch run --manifest m.csv --handler 'cmd:python3 f.py'\n  forebay batch list"
    )]
    Batch(BatchCommand),
    /// Set up and check a log in Kafka, which collectors write and writers deliver
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    #[command(after_help = "Example:\n  forebay kafka create --partitions 12")]
    Kafka(KafkaCommand),
    /// Run as a function of AWS Lambda that imports the files named in notifications of S3
    #[cfg(feature = "lambda")]
    #[command(after_help = "\
The runtime of AWS Lambda starts this command; the stack of `deploy/lambda/csv.yaml` installs the function.

Example:
  AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001 forebay lambda")]
    Lambda,
    /// Find recent calls by messageId, user or event: in the spool, sealed, delivered, or never arrived
    Find(FindArgs),
    /// Find a call by its receipt: delivered (object and line), not yet delivered, or rejected (reason)
    Receipt(ReceiptArgs),
    /// Print a script that completes commands and options in a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands into a directory
    Man(ManArgs),
}

/// `forebay completions`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  forebay completions bash > ~/.local/share/bash-completion/completions/forebay
  forebay completions zsh > ~/.zfunc/_forebay
  forebay completions fish > ~/.config/fish/completions/forebay.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// `forebay man`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  forebay man | man -l -
  forebay man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Directory for the pages, one for each command; a missing directory is made
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `forebay serve`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
An environment variable can override any setting: FOREBAY_FLUSH_MAX_BYTES overrides flush.max_bytes.
Credentials come from the AWS default chain. To change sources without a restart, save the file or send
SIGHUP.

Examples:
  forebay serve --config /etc/forebay/forebay.toml
  FOREBAY_FLUSH_MAX_AGE=10min forebay serve")]
pub struct ServeArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,
}

/// `forebay check`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The check puts a small object below segment-logs/_check/, and removes it if that is allowed. It needs only
the rights that the collector needs, and reports what it could not test. Run it as the collector's user and
in the collector's environment. A collector with the same configuration may run at the same time.

Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage or configuration.

Examples:
  forebay check --config forebay.toml
  forebay check --source checkout-web --rate 2000 --outage 6h")]
pub struct CheckArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Check only the bucket of this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Calls per second of all sources together, for the estimate; 100 if not set
    #[arg(long, value_name = "CALLS_PER_SECOND")]
    pub rate: Option<u64>,

    /// Size of a call, for the estimate
    #[arg(long, value_name = "SIZE", default_value = "1 KB")]
    pub call_bytes: ByteSize,

    /// Length of an outage of the store, for the estimate
    #[arg(long, value_name = "DURATION", default_value = "1 h")]
    pub outage: Period,

    /// Time limit of each request
    #[arg(long, value_name = "DURATION", default_value = "10 s", value_parser = patience)]
    pub timeout: Period,

    /// Judge the file alone, without the network and without secrets, on any machine
    #[arg(long)]
    pub offline: bool,

    /// Send a test alarm to the webhook of `[alarm]`, and check nothing else
    #[arg(long, conflicts_with = "offline")]
    pub alarm_test: bool,

    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// A timeout within its bounds. Every request takes some time, so very short timeouts are refused.
fn patience(text: &str) -> Result<Period, String> {
    let period = text.parse().map_err(|error: UnitError| error.to_string())?;
    within("a duration", period, &(Period::from_millis(100)..=Period::from_secs(600)))
}

/// `forebay status`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
On a terminal the status fits one screen: problems first, then as many sources as fit, the most active ones.
Elsewhere, and with --all, every source is shown. With --watch, output that is not a terminal gets one snapshot after
the other, with an empty line between them.

Exit codes: 0 success, 1 the collector does not answer, refuses or has no such source, 2 wrong usage.

Examples:
  forebay status
  forebay status --watch
  forebay status --source checkout-web
  forebay status --json --admin http://node-1:9180 --token-file ~/.forebay-token")]
pub struct StatusArgs {
    /// The collector to query.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Show only this source, with whole lines
    #[arg(long, value_name = "ID", value_parser = SourceId::new, conflicts_with = "all")]
    pub source: Option<SourceId>,

    /// Show all sources with whole lines, also those that do not fit the terminal
    #[arg(long)]
    pub all: bool,

    /// Show the status again and again, with calls per second and the last minutes; q or Ctrl-C ends
    #[arg(long)]
    pub watch: bool,

    /// With --watch: the time between two queries
    #[arg(long, value_name = "DURATION", default_value = "2 s", value_parser = check_every)]
    pub interval: Period,

    /// Print the result as JSON; with --watch, an object on a line for each query
    #[arg(long)]
    pub json: bool,
}

/// `forebay tail`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command shows the calls that the collector takes from now on, and the latest ones that it still has in memory.
Under load it shows a sample, and says so. The collector may hide personal data (admin.live_view). After a lost
connection the command connects again. Requests that the collector refused as a whole are shown by cause and
client, with what to change.

With --json each line is a call: id, at_ms, source, stream, type, name, user, bytes, reason, reason_text, library, line
(the stored line), added and changed (paths that the collector added to, or changed in, what the client sent).
A line with type refused has cause, code, status, method, route, address, agent, source, key, message, remedy,
requests, first_ms and last_ms.

Exit codes: 0 ended by Ctrl-C or because nobody reads the output, 1 the collector does not answer, refuses or has no
such source, 2 wrong usage.

Examples:
  forebay tail
  forebay tail --source checkout-web --type track
  forebay tail --type rejected
  forebay tail --type refused
  forebay tail --json --grep 'Order Completed' | jq .line")]
pub struct TailArgs {
    /// The collector to query.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Show only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Show only calls of this type; object: object sets; rejected: rejected items; refused: refused requests
    #[arg(long = "type", value_name = "TYPE", value_parser = PossibleValuesParser::new(LIVE_TYPES))]
    pub kind: Option<String>,

    /// Show only calls whose JSON contains this text, in any case
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,

    /// Print each call as a JSON object on a line
    #[arg(long)]
    pub json: bool,
}

/// The types that the live view can be filtered by.
const LIVE_TYPES: [&str; 9] =
    ["track", "identify", "page", "screen", "group", "alias", "object", "rejected", "refused"];

/// `forebay flush`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit codes: 0 everything is delivered, 1 something is still pending or the collector does not answer, 2 wrong usage.

With --json the command prints the numbers of objects: sealed, delivered and pending.

Examples:
  forebay flush
  forebay flush --source checkout-web --json")]
pub struct FlushArgs {
    /// The collector to query.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Flush only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay policy`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The policy is the template of the same name in policies/, filled in. A page for each template there explains
what it grants and what fails without it. Values come from the configuration of the sources; flags override
them. If the flags give every value, no configuration is needed. The policies csv-lambda-* take all values
from flags: --bucket is then the bucket of the CSV files. So do batch-*, for jobs of S3 Batch Operations. The
policies lambda-destination-* are for the [[destination]]s of type \"lambda\" that share a role; --destination
selects one. The policies import-* are for one [[import]]; --import selects it.

Examples:
  forebay policy
  forebay policy collector --config forebay.toml
  forebay policy --external-ids
  forebay policy bucket --bucket lake/raw --principal arn:aws:iam::111122223333:role/forebay
  forebay policy batch-trust --account 111122223333 --region eu-west-1
  forebay policy batch-role --manifest s3://lake/m.csv --function-arn arn:aws:lambda:eu-west-1:111122223333:function:fix")]
pub struct PolicyArgs {
    /// Name of the policy; if not given, all policies are listed
    #[arg(value_name = "NAME", value_parser = policy_name())]
    pub name: Option<PolicyName>,

    /// List the policies
    #[arg(long, conflicts_with = "name")]
    pub list: bool,

    /// List which external id is sent with which role for the calls of each source
    #[arg(long, conflicts_with_all = ["name", "list"])]
    pub external_ids: bool,

    /// Print a list as JSON. A policy is printed as it is pasted into AWS: JSON, or a template in YAML
    #[arg(long)]
    pub json: bool,

    /// Configuration file; by default forebay.toml, if it exists
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// Bucket with its prefix: selects a configured bucket, or names another one
    #[arg(long, value_name = "NAME/PREFIX", value_parser = BucketString::of_argument)]
    pub bucket: Option<BucketString>,

    /// ARN of the role or user that the collector runs as; repeatable. If the collector assumes a role, the
    /// bucket and key policies name that role instead
    #[arg(long, value_name = "ARN")]
    pub principal: Vec<Identity>,

    /// What brokers call the process that gets the rights (kafka-*), such as User:forebay; by default the user of
    /// kafka.security
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "PRINCIPAL", value_parser = NonEmptyStringValueParser::new())]
    pub kafka_principal: Option<String>,

    /// KMS key: selects a configured key, or replaces it
    #[arg(long, value_name = "ARN", value_parser = KmsKey::parse)]
    pub kms_key: Option<KmsKey>,

    /// Role that the collector assumes: selects a configured role, or names another one
    #[arg(long, value_name = "ARN", value_parser = RoleArn::parse)]
    pub role: Option<RoleArn>,

    /// External id with which the role is assumed; repeatable
    #[arg(long, value_name = "ID", value_parser = ExternalId::parse)]
    pub external_id: Vec<ExternalId>,

    /// ARN of a role or user that reads the delivered objects; repeatable
    #[arg(long, value_name = "ARN")]
    pub reader: Vec<Identity>,

    /// Account of the KMS key, if its ARN does not contain it; of the function (csv-lambda-*); of the jobs
    /// (batch-trust)
    #[arg(long, value_name = "DIGITS", value_parser = AccountId::parse)]
    pub account: Option<AccountId>,

    /// Region of the bucket and the KMS key, if neither the key's ARN nor the configuration contains it; of the
    /// jobs (batch-trust)
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// Destination of the configuration that the policy is for (lambda-destination-*)
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,

    /// Import of the configuration that the policy is for (import-*)
    #[arg(long, value_name = "NAME")]
    pub import: Option<String>,

    /// ARN of a function of the destination, instead of those of the configuration; repeatable
    /// (lambda-destination-*). The function of a job (batch-role)
    #[arg(long, value_name = "ARN", value_parser = crate::config::function_arn)]
    pub function_arn: Vec<String>,

    /// Manifest of a job: an object, or a folder with a slash at its end (batch-role)
    #[arg(long, value_name = "s3://NAME/KEY", value_parser = PolicyManifest::parse)]
    pub manifest: Option<PolicyManifest>,

    /// Where a job puts its completion report (batch-role)
    #[arg(long, value_name = "s3://NAME/PREFIX", value_parser = place_of_reports)]
    pub report: Option<BucketString>,

    /// Name of the Lambda function (csv-lambda-*)
    #[arg(long, value_name = "NAME", value_parser = function_name)]
    pub function: Option<String>,

    /// Where the function keeps its progress: FOREBAY_JOURNAL (csv-lambda-execution)
    #[arg(long, value_name = "NAME/PREFIX", value_parser = BucketString::of_argument)]
    pub journal: Option<BucketString>,

    /// Where the function writes objects itself: FOREBAY_OUTPUT (csv-lambda-execution)
    #[arg(long, value_name = "NAME/PREFIX", value_parser = BucketString::of_argument)]
    pub output: Option<BucketString>,

    /// Where the function puts rejected rows: FOREBAY_CSV_REJECTS (csv-lambda-execution)
    #[arg(long, value_name = "NAME/PREFIX", value_parser = BucketString::of_argument)]
    pub rejects: Option<BucketString>,

    /// Queue that hands the bucket's events to the function (csv-lambda-execution) or to the import (import-*)
    #[arg(long, value_name = "ARN")]
    pub queue: Option<Arn>,

    /// Queue that gets the events that the function failed for (csv-lambda-execution)
    #[arg(long, value_name = "ARN")]
    pub failures: Option<Arn>,

    /// The function invokes itself: FOREBAY_CONTINUE=self-invoke (csv-lambda-execution)
    #[arg(long)]
    pub self_invoke: bool,
}

/// The longest name of a Lambda function ("CreateFunction", Lambda API reference).
const FUNCTION_NAME_MAX: usize = 64;

fn function_name(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=FUNCTION_NAME_MAX).contains(&text.len()) && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected a function's name alone: 1 to {FUNCTION_NAME_MAX} of A-Z a-z 0-9 - _; --function-arn takes an ARN"
        ))
    }
}

fn policy_name() -> impl TypedValueParser<Value = PolicyName> {
    let names = PossibleValuesParser::new(PolicyName::all().into_iter().map(PolicyName::name));
    names.try_map(|name| PolicyName::of_name(&name).ok_or("unknown policy"))
}

/// `forebay spool …`
#[derive(Clone, Debug, Subcommand)]
pub enum SpoolCommand {
    /// Show the content of a spool: segments, batches, and objects that are sealed, parked or need a decision
    #[command(after_help = "\
No process may use the spool.

Examples:
  forebay spool inspect /var/lib/forebay
  forebay spool inspect /var/lib/forebay --json")]
    Inspect(SpoolReadArgs),
    /// Check every byte of a spool, and report all damage
    #[command(after_help = "\
No process may use the spool.

Exit codes: 0 no damage was found, 1 something is damaged or cannot be read, 2 wrong usage.

Examples:
  forebay spool verify /var/lib/forebay
  forebay spool verify /var/lib/forebay --json")]
    Verify(SpoolReadArgs),
    /// Write the calls in a spool as lines of JSON
    Export(SpoolExportArgs),
    /// Deliver everything in a spool, so that it can be removed
    Drain(SpoolDrainArgs),
    /// Resolve a conflict: decide which object to keep under the key of a sealed object
    Resolve(SpoolResolveArgs),
}

/// `forebay spool inspect` and `forebay spool verify`
#[derive(Clone, Debug, Args)]
pub struct SpoolReadArgs {
    /// Spool directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay spool export`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
No process may use the spool. The spool is not changed.

Examples:
  forebay spool export /var/lib/forebay --out calls.ndjson
  forebay spool export /var/lib/forebay --source checkout-web | gzip > calls.gz
  forebay spool export /var/lib/forebay --rejected")]
pub struct SpoolExportArgs {
    /// Spool directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Export only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Export the rejected items instead of the calls
    #[arg(long, conflicts_with = "stream")]
    pub rejected: bool,

    /// Export this stream: calls, rejected, objects/COLLECTION or dead/DESTINATION
    #[arg(long, value_name = "STREAM", default_value = "calls")]
    pub stream: Stream,

    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Print a summary as JSON to standard error
    #[arg(long)]
    pub json: bool,
}

/// `forebay spool drain`
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(after_help = "\
No process may use the spool. Objects that are already in the bucket are not put again.

Examples:
  forebay spool drain /var/lib/forebay --config forebay.toml
  forebay spool drain /mnt/old-disk/forebay --to ./objects")]
pub struct SpoolDrainArgs {
    /// Spool directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Write the objects to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "config", required_unless_present = "config")]
    pub to: Option<PathBuf>,

    /// Deliver to the buckets recorded in the spool, with the endpoint and credentials of this configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Drop what waits for the functions of destinations: only the archive then has these calls
    #[arg(long)]
    pub drop_destinations: bool,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay spool resolve`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
`forebay spool inspect` shows conflicts and the numbers of their seals.

Example:
  forebay spool resolve /var/lib/forebay --seal 3 --action keep-theirs")]
pub struct SpoolResolveArgs {
    /// Spool directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Number of the seal, as shown by `forebay spool inspect`
    #[arg(long, value_name = "N")]
    pub seal: u64,

    /// What to do with the object
    #[arg(long, value_enum, value_name = "ACTION")]
    pub action: ResolveAction,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// How to connect to a bucket.
#[derive(Clone, Debug, Args)]
pub struct ReachArgs {
    /// Configuration file with region, endpoint, role and owner; by default forebay.toml, if it exists
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// Endpoint of a store other than AWS; the default forebay.toml is then not read. By default that of the
    /// configuration, or AWS_ENDPOINT_URL_S3
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// Region of the bucket
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,

    /// Use URLs of the form endpoint/bucket/key instead of bucket.endpoint/key
    #[arg(long)]
    pub path_style: bool,

    /// Number of concurrent requests
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub concurrency: u16,
}

/// `forebay wait`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
When a day is over and a node has delivered all of its calls, the node closes the day: it puts a marker next
to the day's folder. This command waits for the markers of all nodes that have objects in the folder. A node
without objects of the day is not visible in the bucket: give the URL of its admin listener with --admin, or,
with a log in Kafka, those of all writers. A day without calls leaves nothing in the bucket: without --admin,
the command waits for it until the timeout. It needs s3:ListBucket on the bucket and s3:GetObject on the
markers.

Exit codes: 0 the day is closed, 1 the timeout was reached or the day cannot be confirmed as closed, 2 wrong
usage or configuration.

Examples:
  forebay wait --source checkout-web --day 2026-11-20
  forebay wait lake/raw --source checkout-web --day 2026-11-20 --admin http://node-1:9180 --timeout 2h")]
pub struct WaitArgs {
    /// Bucket and prefix, in the form of `s3.bucket`; by default those of the source in the configuration
    #[arg(value_name = "BUCKET", value_parser = BucketString::of_argument)]
    pub bucket: Option<BucketString>,

    /// How to connect to the bucket.
    #[command(flatten)]
    pub reach: ReachArgs,

    /// Source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: SourceId,

    /// Received-day: a date (UTC), or the number in the name of its folder
    #[arg(long, value_name = "DAY", value_parser = received_day)]
    pub day: ReceivedDay,

    /// URL of the admin listener of a node that accepts calls of this source, or of a writer; repeatable
    #[arg(long, value_name = "URL")]
    pub admin: Vec<AdminUrl>,

    /// File whose first line is the admin token of these nodes; by default the token is in
    /// FOREBAY_ADMIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Give up after this time ("0 s": check once)
    #[arg(long, value_name = "DURATION", default_value = "24 h")]
    pub timeout: Period,

    /// Interval between checks
    #[arg(long, value_name = "DURATION", default_value = "30 s", value_parser = check_every)]
    pub every: Period,

    /// Print the state of the day as JSON
    #[arg(long)]
    pub json: bool,
}

/// The interval between checks. Each check costs a few requests, so at most ten per second are allowed.
fn check_every(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error: UnitError| error.to_string())?;
    if period < Period::from_millis(100) { Err("expected at least 100 ms".to_owned()) } else { Ok(period) }
}

/// `forebay verify`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command lists the bucket and reads the metadata of each object; with --deep, it reads the objects, too.
It needs s3:ListBucket on the bucket and s3:GetObject on its objects. Credentials come from the AWS default
chain.

Exit codes: 0 no problem was found, 1 a problem was found, there are no objects, or the bucket could not be
read, 2 wrong usage or configuration.

Examples:
  forebay verify lake/raw
  forebay verify lake/raw --source checkout-web --from 2026-11-01 --deep
  forebay verify forebay --endpoint-url http://127.0.0.1:9000 --path-style")]
pub struct VerifyArgs {
    /// Bucket and prefix, in the form of `s3.bucket`: mytestbucket/path/prefix
    #[arg(value_name = "BUCKET", value_parser = BucketString::of_argument)]
    pub bucket: BucketString,

    /// How to connect to the bucket.
    #[command(flatten)]
    pub reach: ReachArgs,

    /// Read only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Read only this received-day: a date (UTC), or the number in the name of its folder
    #[arg(long, value_name = "DAY", value_parser = received_day, conflicts_with_all = ["from", "to"])]
    pub day: Option<ReceivedDay>,

    /// Read only this day and later ones
    #[arg(long, value_name = "DAY", value_parser = received_day)]
    pub from: Option<ReceivedDay>,

    /// Read only this day and earlier ones
    #[arg(long, value_name = "DAY", value_parser = received_day)]
    pub to: Option<ReceivedDay>,

    /// Read every line: check its day and source, look for duplicates, and compare content and metadata
    #[arg(long)]
    pub deep: bool,

    /// Accept objects that Forebay did not write
    #[arg(long)]
    pub allow_foreign: bool,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay find`
#[derive(Clone, Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true),
    after_help = "\
The command asks the running collector, which looks in what is recent: the live view's memory, the newest
256 MB of lines in the spool, and the newest objects of the last hour (30, and 64 MiB of them), which it reads
with its own credentials. Every value that is given must be the call's, exactly. If no call fits, the command
names the refused requests that may have held it. One search at a time: a second one is refused.

Exit codes: 0 a call was found, 1 none was found or the collector does not answer, 2 wrong usage.

Examples:
  forebay find --user-id 42
  forebay find --message-id ajs-next-1700000000000 --json
  forebay find --event 'Order Completed' --source checkout-web"
)]
pub struct FindArgs {
    /// Find calls with this messageId
    #[arg(long, value_name = "ID", group = "what", value_parser = NonEmptyStringValueParser::new())]
    pub message_id: Option<String>,

    /// Find calls with this userId, and aliases with this previousId
    #[arg(long, value_name = "ID", group = "what", value_parser = NonEmptyStringValueParser::new())]
    pub user_id: Option<String>,

    /// Find calls with this anonymousId
    #[arg(long, value_name = "ID", group = "what", value_parser = NonEmptyStringValueParser::new())]
    pub anonymous_id: Option<String>,

    /// Find track calls of this event, and page and screen calls of this name
    #[arg(long, value_name = "NAME", group = "what", value_parser = NonEmptyStringValueParser::new())]
    pub event: Option<String>,

    /// Find only calls of this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// The collector to query.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

impl FindArgs {
    /// The calls that are looked for.
    pub fn asked(&self) -> AskedCalls {
        let Self { message_id, user_id, anonymous_id, event, source, .. } = self.clone();
        AskedCalls { message_id, user_id, anonymous_id, event, source }
    }
}

/// `forebay receipt`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command first asks the running collector for the calls. It searches the bucket for those that the
collector no longer holds: it lists the day's objects, then reads those that can contain the positions. It
needs s3:ListBucket on the bucket and s3:GetObject on its objects. Credentials come from the AWS default
chain.

Exit codes: 0 every position was found (delivered, not yet delivered, or rejected), 1 a position was not
found or could not be looked up, 2 wrong usage or configuration.

Examples:
  forebay receipt web/1763596800000/0123456789abcdef0123456789abcdef/42
  forebay receipt web/1763596800000/0123456789abcdef0123456789abcdef/42-44 --bucket lake/raw")]
pub struct ReceiptArgs {
    /// Receipts: the value of the header `forebay-receipt` in the answer to a request
    #[arg(value_name = "RECEIPT", required = true, value_delimiter = ',', value_parser = Receipt::of_header)]
    pub receipts: Vec<Receipt>,

    /// Bucket and prefix, in the form of `s3.bucket`; by default those of the source in the configuration, or
    /// else those that the collector reports
    #[arg(long, value_name = "BUCKET", value_parser = BucketString::of_argument)]
    pub bucket: Option<BucketString>,

    /// How to connect to the bucket.
    #[command(flatten)]
    pub reach: ReachArgs,

    /// The collector to query.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// A received-day in the form that people write.
fn received_day(text: &str) -> Result<ReceivedDay, String> {
    let form =
        || "expected a date such as 2026-11-20, or the number in the name of the day's folder".to_owned();
    if let Some(day) = object_key::received_day(text) {
        return Ok(day);
    }
    let date: NaiveDate = text.parse().map_err(|_| form())?;
    let midnight = date.and_hms_opt(0, 0, 0).ok_or_else(form)?;
    Ok(UnixMillis(midnight.and_utc().timestamp_millis()).day())
}

/// A region name. It becomes part of a host name, so anything else is refused.
fn region(text: &str) -> Result<String, String> {
    region_name(text).map(str::to_owned).ok_or_else(|| "expected a region such as eu-west-1".to_owned())
}

impl Cli {
    /// The command line of this process. If it is invalid, prints an error and ends the process. The error
    /// contains no passwords, because it is often logged.
    pub fn of_process() -> Self {
        #[cfg(feature = "lambda")]
        let parsed = match is_function(std::env::args_os(), std::env::var_os("AWS_LAMBDA_RUNTIME_API")) {
            true => Self::try_parse_from(["forebay", "lambda"]),
            false => Self::try_parse(),
        };
        #[cfg(not(feature = "lambda"))]
        let parsed = Self::try_parse();
        parsed.unwrap_or_else(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            let text = without_secrets(&error.render().to_string());
            // If standard error fails, there is nowhere else to report to.
            drop(write!(std::io::stderr(), "{text}"));
            std::process::exit(error.exit_code())
        })
    }
}

/// Whether the runtime of AWS Lambda started the program: as `bootstrap`, the name that the runtime gives to
/// programs, and without arguments.
#[cfg(feature = "lambda")]
fn is_function(mut args: impl Iterator<Item = OsString>, runtime_api: Option<OsString>) -> bool {
    let program = args.next().map(PathBuf::from);
    let is_bootstrap = program.is_some_and(|program| program.file_name() == Some("bootstrap".as_ref()));
    is_bootstrap && args.next().is_none() && runtime_api.is_some()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("forebay").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_parsed() {
        for line in [
            "dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --s3-listen [::1]:0 --data-dir /x --flush-age 2s \
             --flush-bytes 64KiB --receipts --reset --demo",
            "serve",
            "serve --config /etc/forebay.toml --log debug",
            "--log warn serve",
            "check",
            "check --config /etc/forebay.toml --source web --rate 2000 --call-bytes 2KB --outage 6h --timeout 3s --json",
            "status --admin http://localhost:1 --json",
            "flush --source web",
            "policy",
            "policy --list",
            "policy bucket --bucket b-1/p --principal arn:aws:iam::111122223333:user/c --config x.toml",
            "policy kms-key --kms-key alias/x --role arn:aws:iam::111122223333:role/c --external-id web \
             --external-id ios --reader arn:aws:iam::111122223333:role/r --account 111122223333 --region eu-west-1",
            "spool inspect /x --json",
            "spool verify /x",
            "spool export /x --source web --rejected --out f",
            "spool drain /x --to /y --json",
            "spool drain /x --config forebay.toml",
            "spool resolve /x --seal 3 --action keep-theirs --json",
            "verify lake/raw --config f --source web --day 2026-11-20 --deep --json --allow-foreign --concurrency 8",
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/42 --bucket lake/raw --config f --json",
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/42-44 --admin http://localhost:1 --path-style \
             --endpoint-url http://127.0.0.1:9000",
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/42,web/1763596800000/0123456789abcdef0123456789abcdee/4",
            "verify lake --endpoint-url http://127.0.0.1:9000 --path-style --region eu-west-1 --from 1763596800000 --to 2026-11-20",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
    }

    #[test]
    fn wrong_usage_is_exit_code_2_and_shows_the_expected_form() {
        let check = |line: &str, said: &str| {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(said), "{line}: {error}");
        };
        check("dev --flush-age 10", "a duration with its unit, such as");
        check("dev --flush-bytes 10", "a size with its unit, such as");
        check("dev --flush-bytes 999B", "a size from 1 KB to 4 GB");
        check("dev --flush-bytes 5GB", "a size from 1 KB to 4 GB");
        check("dev --listen 8080", "invalid socket address");
        check("check --rate many", "invalid digit");
        check("check --timeout 0s", "a duration from 100 ms to 10 min");
        check("check --call-bytes 1000", "a size with its unit, such as");
        check("flush --source ../x", "must be 1 to 64 characters of");
        check("status --admin ftp://localhost", "expected a URL such as");
        check("policy nothing", "[possible values: collector, role, role-trust,");
        check("policy bucket --principal forebay", "expected an ARN such as");
        check("policy bucket --bucket arn:aws:s3:::lake", "write the bucket's name alone");
        check("policy bucket --list", "cannot be used with");
        check("policy batch-role --manifest lake/m.csv", "expected s3://BUCKET/KEY");
        check("spool drain /x", "required");
        check("spool drain /x --to /y --config z", "cannot be used with");
        check("spool resolve /x --seal 3 --action maybe", "possible values");
        check("verify arn:aws:s3:::lake", "without s3://");
        check("verify lake --day 20.11.2026", "expected a date such as");
        check("verify lake --day 1763596800001", "expected a date such as");
        check("verify lake --day 2026-11-20 --to 2026-11-21", "cannot be used with");
        check("verify lake --endpoint-url http://169.254.169.254", "link-local");
        check("verify lake --region a/b", "expected a region");
        check("verify lake --concurrency 0", "not in 1..=1024");
        check("receipt", "<RECEIPT>");
        check("receipt 42", "expected a receipt as in the header forebay-receipt");
        check(
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/1-200000",
            "more than 100000 positions",
        );
        check("serv", "unrecognized subcommand");
        check("", "Usage");
    }
}
