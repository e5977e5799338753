//! The command line: what can be asked for, and the help for it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::checked::FLUSH_BYTES_MAX;
use crate::config::units::UnitError;
use crate::config::{ByteSize, Endpoint, Period};
use crate::object::{AccountId, BucketString, ExternalId, KmsKey, RoleArn, object_key};
use crate::policy::{Arn, Template};
use crate::receipt::Receipt;
use crate::runtime::telemetry::LogLevel;
use crate::sources::SourceId;
use crate::store::region::region_name;
use crate::time::{ReceivedDay, UnixMillis};

use super::admin_client::AdminUrl;

/// Takes tracking-API calls from unmodified SDKs and writes each, exactly once, to S3 as gzipped newline-delimited JSON.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "forebay",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Start with `forebay dev`: it needs nothing else, and prints what to do next.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.")]
pub struct Cli {
    /// How much is logged, to standard error
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

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Try it on this machine: collector, admin listener and an S3 server in one process, nothing to set up
    Dev(DevArgs),
    /// Run it: take calls and deliver them to the bucket that forebay.toml names
    Serve(ServeArgs),
    /// Find out whether the configuration works: credentials, role, bucket, encryption, key, disk, ports
    Check(CheckArgs),
    /// Show what a running collector holds, what it delivered last and what waits
    Status(StatusArgs),
    /// Seal and deliver now what a running collector has buffered; waits up to 30 s
    Flush(FlushArgs),
    /// Print a policy for AWS, filled in from the configuration and these flags
    Policy(PolicyArgs),
    /// Look into a spool directory while no process uses it
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Prove from a bucket alone that nothing in it is missing, and with --deep that nothing is damaged or doubled
    Verify(VerifyArgs),
    /// Wait until a source's day is closed by every node that wrote to it
    Wait(WaitArgs),
    /// Say which object and line holds a call that was answered, or that it is on its way, or rejected and why
    Receipt(ReceiptArgs),
}

/// `forebay dev`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Any write key is accepted and is its own source. The S3 server's bucket is `forebay`, its region us-east-1, its access key
`forebay` and its secret key `forebay-secret`. A port of 0 takes any free one; the addresses in use are printed.")]
pub struct DevArgs {
    /// Where calls are taken
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where metrics, readiness, status and flush are
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9180")]
    pub admin_listen: SocketAddr,

    /// Where the S3 server is
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub s3_listen: SocketAddr,

    /// Where the spool and the objects are kept; they are still there after a restart
    #[arg(long, value_name = "DIR", default_value = "./forebay-data")]
    pub data_dir: PathBuf,

    /// Deliver a batch when its first call is this old ("10 s", "1 h")
    #[arg(long, value_name = "DURATION", default_value = "10 s")]
    pub flush_age: Period,

    /// Deliver a batch when its object reaches this size ("100 MB", "64 KiB")
    #[arg(long, value_name = "SIZE", default_value = "100 MB", value_parser = flush_bytes)]
    pub flush_bytes: ByteSize,

    /// Say in answers and lines where calls stand, for `forebay receipt`
    #[arg(long)]
    pub receipts: bool,

    /// Delete what `dev` made in the data directory, and begin anew
    #[arg(long)]
    pub reset: bool,

    /// Send a believable stream of calls from several sources, so that there is something to look at
    #[arg(long)]
    pub demo: bool,
}

/// The bounds of `flush.max_bytes`: an object is one put, also in dev mode.
fn flush_bytes(text: &str) -> Result<ByteSize, String> {
    let least = ByteSize(1_000);
    let size: ByteSize = text.parse().map_err(|error: UnitError| error.to_string())?;
    if (least..=FLUSH_BYTES_MAX).contains(&size) {
        Ok(size)
    } else {
        Err(format!("expected a size from {least} to {FLUSH_BYTES_MAX}"))
    }
}

/// `forebay serve`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Every setting can be overridden by an environment variable: flush.max_bytes by FOREBAY_FLUSH_MAX_BYTES. Credentials come
from the AWS default chain. Sources may be changed while it runs: save the file, or send SIGHUP.")]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,
}

/// `forebay check`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
It puts a small object under segment-logs/_check/ and removes it where that is allowed. It needs no right that Forebay
does not need, and says what it could not test. Run it as the user, and with the environment, that the collector will
have; one may be running with the same configuration.

Exit codes: 0 nothing failed, 1 something did, 2 wrong usage or configuration.")]
pub struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Only the destination of this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Estimate for this many calls a second, all sources together; without it 100 are assumed
    #[arg(long, value_name = "CALLS_PER_SECOND")]
    pub rate: Option<u64>,

    /// Estimate for calls of this size
    #[arg(long, value_name = "SIZE", default_value = "1 KB")]
    pub call_bytes: ByteSize,

    /// Estimate for an outage of the store of this length
    #[arg(long, value_name = "DURATION", default_value = "1 h")]
    pub outage: Period,

    /// How long one request may take
    #[arg(long, value_name = "DURATION", default_value = "10 s", value_parser = patience)]
    pub timeout: Period,

    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

/// No request is answered in no time.
fn patience(text: &str) -> Result<Period, String> {
    let (least, most) = (Period::from_millis(100), Period::from_secs(600));
    let period: Period = text.parse().map_err(|error: UnitError| error.to_string())?;
    if (least..=most).contains(&period) {
        Ok(period)
    } else {
        Err(format!("expected a duration from {least} to {most}"))
    }
}

/// Where the running collector is asked.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// The admin listener of the running collector
    #[arg(
        long = "admin",
        value_name = "URL",
        default_value = "http://127.0.0.1:9180",
        env = "FOREBAY_ADMIN_URL"
    )]
    pub url: AdminUrl,
}

/// `forebay status`
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay flush`
#[derive(Clone, Debug, Args)]
pub struct FlushArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay policy`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
What is printed is what is filled in of the file of the same name under policies/, where a page for each says what it grants
and what breaks without it. What a source's destination says is taken from the configuration; a flag stands above it. A
configuration may be missing where the flags give everything.")]
pub struct PolicyArgs {
    /// Which policy; all are listed without
    #[arg(value_name = "NAME", value_parser = policy_name())]
    pub name: Option<Template>,

    /// List the policies
    #[arg(long, conflicts_with = "name")]
    pub list: bool,

    /// The configuration file; forebay.toml where there is one
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// The bucket, with its prefix: picks one of the configuration, or names another
    #[arg(long, value_name = "NAME/PREFIX", value_parser = BucketString::parse)]
    pub bucket: Option<BucketString>,

    /// Who the collector runs as: the ARN of a role or user; may be given several times. What is written by a role that is
    /// assumed is that role's, in the policies of bucket and key
    #[arg(long, value_name = "ARN")]
    pub principal: Vec<Arn>,

    /// The KMS key: picks one of the configuration, or stands for the one that it names
    #[arg(long, value_name = "ARN", value_parser = KmsKey::parse)]
    pub kms_key: Option<KmsKey>,

    /// The role that is assumed: picks one of the configuration, or names another
    #[arg(long, value_name = "ARN", value_parser = RoleArn::parse)]
    pub role: Option<RoleArn>,

    /// The external id that the role is assumed with; may be given several times
    #[arg(long, value_name = "ID", value_parser = ExternalId::parse)]
    pub external_id: Vec<ExternalId>,

    /// Who reads what was delivered: the ARN of a role or user; may be given several times
    #[arg(long, value_name = "ARN")]
    pub reader: Vec<Arn>,

    /// The account of the KMS key, where its ARN does not say it
    #[arg(long, value_name = "DIGITS", value_parser = AccountId::parse)]
    pub account: Option<AccountId>,

    /// The region of bucket and KMS key, where neither the key's ARN nor the configuration says it
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

fn policy_name() -> impl TypedValueParser<Value = Template> {
    PossibleValuesParser::new(Template::ALL.map(Template::name)).try_map(|name| name.parse::<Template>())
}

/// `forebay spool …`
#[derive(Clone, Debug, Subcommand)]
pub enum SpoolCommand {
    /// Say what a spool holds: segments, batches, what is sealed, parked or waits for a person
    Inspect(SpoolReadArgs),
    /// Check every byte of a spool, and name what is damaged
    Verify(SpoolReadArgs),
    /// Write the calls of a spool as lines of JSON
    Export(SpoolExportArgs),
    /// Deliver what a spool holds, so that it can be removed
    Drain(SpoolDrainArgs),
    /// Decide what becomes of a sealed object whose key is taken by another one
    Resolve(SpoolResolveArgs),
}

/// `forebay spool inspect` and `forebay spool verify`
#[derive(Clone, Debug, Args)]
pub struct SpoolReadArgs {
    /// The spool's directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay spool export`
#[derive(Clone, Debug, Args)]
pub struct SpoolExportArgs {
    /// The spool's directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Only what was rejected, in place of the calls
    #[arg(long)]
    pub rejected: bool,

    /// Write to this new file rather than to standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Print a summary as JSON, to standard error
    #[arg(long)]
    pub json: bool,
}

/// `forebay spool drain`
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct SpoolDrainArgs {
    /// The spool's directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Write the objects into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "config", required_unless_present = "config")]
    pub to: Option<PathBuf>,

    /// Deliver to the buckets that the spool names, by the endpoint and credentials of this configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `forebay spool resolve`
#[derive(Clone, Debug, Args)]
pub struct SpoolResolveArgs {
    /// The spool's directory
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// The number of the seal, as `forebay spool inspect` shows it
    #[arg(long, value_name = "N")]
    pub seal: u64,

    /// What to do
    #[arg(long, value_enum, value_name = "ACTION")]
    pub action: ResolveAction,
}

/// What becomes of a sealed object whose key is taken by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResolveAction {
    /// Put ours in place of what is there
    Overwrite,
    /// Leave what is there and count ours as delivered
    KeepTheirs,
}

/// Which bucket is read, and how it is reached.
#[derive(Clone, Debug, Args)]
pub struct BucketArgs {
    /// Bucket and prefix, as `s3.bucket` has them: mytestbucket/path/prefix
    #[arg(value_name = "BUCKET", value_parser = BucketString::parse)]
    pub bucket: BucketString,

    /// How it is reached.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// How a bucket is reached.
#[derive(Clone, Debug, Args)]
pub struct ReachArgs {
    /// Reach it as this configuration says: region, endpoint, role, owner (forebay.toml, where that is there)
    #[arg(long, value_name = "FILE", env = "FOREBAY_CONFIG")]
    pub config: Option<PathBuf>,

    /// A store that is not AWS; no forebay.toml is looked for then
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// The bucket's region
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,

    /// Write endpoint/bucket/key in place of bucket.endpoint/key
    #[arg(long)]
    pub path_style: bool,

    /// Requests that are under way at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub concurrency: u16,
}

/// Which part of a bucket is read.
#[derive(Clone, Debug, Args)]
pub struct PartArgs {
    /// Only this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Only this received-day: a date (UTC), or the number that its folder is named by
    #[arg(long, value_name = "DAY", value_parser = received_day, conflicts_with_all = ["from", "to"])]
    pub day: Option<ReceivedDay>,

    /// Only days from this one on
    #[arg(long, value_name = "DAY", value_parser = received_day)]
    pub from: Option<ReceivedDay>,

    /// Only days up to this one
    #[arg(long, value_name = "DAY", value_parser = received_day)]
    pub to: Option<ReceivedDay>,
}

/// `forebay wait`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A day is closed by a node once it is over there and all of it is in the bucket; the node then puts a marker beside the day's
folder. This looks for the markers of all nodes that have objects in that folder. A node whose objects have not arrived yet is
not seen in the bucket: name its admin listener with --admin, and it is asked, too. A day without any calls has nothing in the
bucket: without --admin it is waited for until the time is up. It needs s3:ListBucket on the bucket and s3:GetObject on the
markers.

Exit codes: 0 the day is closed, 1 the time is up or the day cannot be called closed, 2 wrong usage or configuration.")]
pub struct WaitArgs {
    /// Bucket and prefix, as `s3.bucket` has them; if not given, those of the source in the configuration
    #[arg(value_name = "BUCKET", value_parser = BucketString::parse)]
    pub bucket: Option<BucketString>,

    /// How it is reached.
    #[command(flatten)]
    pub reach: ReachArgs,

    /// The source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: SourceId,

    /// The received-day: a date (UTC), or the number that its folder is named by
    #[arg(long, value_name = "DAY", value_parser = received_day)]
    pub day: ReceivedDay,

    /// The admin listener of a collector that takes calls of this source; may be given several times
    #[arg(long, value_name = "URL")]
    pub admin: Vec<AdminUrl>,

    /// Give up after this time ("0 s" looks once)
    #[arg(long, value_name = "DURATION", default_value = "24 h")]
    pub timeout: Period,

    /// Look as often as this
    #[arg(long, value_name = "DURATION", default_value = "30 s", value_parser = look_every)]
    pub every: Period,

    /// Print how the day stands as JSON
    #[arg(long)]
    pub json: bool,
}

/// A look costs a few requests: not more than ten a second.
fn look_every(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error: UnitError| error.to_string())?;
    if period < Period::from_millis(100) { Err("expected at least 100 ms".to_owned()) } else { Ok(period) }
}

/// `forebay verify`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Lists the bucket and asks for each object's metadata; --deep also reads each object. It needs s3:ListBucket on the bucket
and s3:GetObject on its objects. Credentials come from the AWS default chain.

Exit codes: 0 nothing wrong was found, 1 something was, nothing is there, or the bucket could not be read, 2 wrong usage or
configuration.")]
pub struct VerifyArgs {
    /// Which bucket.
    #[command(flatten)]
    pub bucket: BucketArgs,

    /// Which part.
    #[command(flatten)]
    pub part: PartArgs,

    /// Read every line: right day, right source, nothing twice, and the content as the metadata say
    #[arg(long)]
    pub deep: bool,

    /// Let objects pass that Forebay did not write
    #[arg(long)]
    pub allow_foreign: bool,

    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay receipt`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Asks the running collector whether the calls are still on their way, and looks for what it does not hold in the bucket: one
listing of the day, then the objects that can hold the positions are read. It needs s3:ListBucket on the bucket and
s3:GetObject on its objects. Credentials come from the AWS default chain.

Exit codes: 0 every position was found (delivered, rejected or on its way), 1 one was not, or could not be looked for,
2 wrong usage or configuration.")]
pub struct ReceiptArgs {
    /// The receipt, as the header forebay-receipt of an answer has it
    #[arg(value_name = "RECEIPT")]
    pub receipt: Receipt,

    /// Bucket and prefix, as `s3.bucket` has them; else the source's in the configuration, else the one the collector names
    #[arg(long, value_name = "BUCKET", value_parser = BucketString::parse)]
    pub bucket: Option<BucketString>,

    /// How the bucket is reached.
    #[command(flatten)]
    pub reach: ReachArgs,

    /// Whom to ask.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// A received-day as a person writes it.
fn received_day(text: &str) -> Result<ReceivedDay, String> {
    let form =
        || "expected a date such as 2026-11-20, or the number that the day's folder is named by".to_owned();
    if let Some(day) = object_key::received_day(text) {
        return Ok(day);
    }
    let date: NaiveDate = text.parse().map_err(|_| form())?;
    let midnight = date.and_hms_opt(0, 0, 0).ok_or_else(form)?;
    Ok(UnixMillis(midnight.and_utc().timestamp_millis()).day())
}

/// A region becomes part of a host name, so nothing else may pass.
fn region(text: &str) -> Result<String, String> {
    region_name(text).map(str::to_owned).ok_or_else(|| "expected a region such as eu-west-1".to_owned())
}

impl Cli {
    /// The command line of this process. Where it is wrong, the process ends with what is wrong, and without passwords: an
    /// error is often logged.
    pub fn of_process() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            let text = without_secrets(&error.render().to_string());
            // There is nobody else to tell.
            drop(write!(std::io::stderr(), "{text}"));
            std::process::exit(error.exit_code())
        })
    }
}

/// The text with `…` in place of what may be a secret of a URL: what stands before its host, and its query.
fn without_secrets(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "'\"".contains(c);
    text.split_inclusive(ends).map(without_secret).collect()
}

fn without_secret(word: &str) -> String {
    let (scheme, rest) = word.split_once("://").map_or(("", word), |(scheme, rest)| (scheme, rest));
    let is_url = !scheme.is_empty();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let authority = authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("…@{host}"));
    let rest = match rest.split_once(['?', '#']) {
        // What ends the word is kept.
        Some((path, query)) if is_url => {
            let quote: String = query
                .chars()
                .last()
                .filter(|c| c.is_whitespace() || "'\"".contains(*c))
                .into_iter()
                .collect();
            format!("{path}?…{quote}")
        }
        _ => rest.to_owned(),
    };
    if is_url { format!("{scheme}://{authority}{rest}") } else { format!("{authority}{rest}") }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("forebay").chain(line.split_whitespace()))
    }

    #[test]
    fn no_secret_is_shown() {
        let check = |text: &str, expected: &str| assert_eq!(without_secrets(text), expected, "{text}");
        check("error: 'http://me:secret@host:1/x' for --admin", "error: 'http://…@host:1/x' for --admin");
        check("http://a@b@c and https://d:e@f\n", "http://…@c and https://…@f\n");
        check("'me:secret@host:1' for", "'…@host:1' for");
        check("'https://host/x?sig=s' for", "'https://host/x?…' for");
        check("https://host/#s\nis it?", "https://host/?…\nis it?");
        for plain in ["http://host:1/x", "forebay status [OPTIONS]\n\nFor more information, try '--help'.\n"]
        {
            check(plain, plain);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_has_the_documented_defaults() {
        let Command::Dev(dev) = parse("dev").unwrap().command else { panic!("not dev") };
        assert_eq!(dev.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(dev.admin_listen, "127.0.0.1:9180".parse().unwrap());
        assert_eq!(dev.s3_listen, "127.0.0.1:9000".parse().unwrap());
        assert_eq!(dev.data_dir, PathBuf::from("./forebay-data"));
        assert_eq!(dev.flush_age, Period::from_secs(10));
        assert_eq!(dev.flush_bytes, ByteSize(100_000_000));
        assert!(!dev.reset && !dev.demo && !dev.receipts);
    }

    #[test]
    fn every_command_is_read() {
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
            "spool drain /x --to /y",
            "spool drain /x --config forebay.toml",
            "spool resolve /x --seal 3 --action keep-theirs",
            "verify lake/raw --config f --source web --day 2026-11-20 --deep --json --allow-foreign --concurrency 8",
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/42 --bucket lake/raw --config f --json",
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/42-44 --admin http://localhost:1 --path-style \
             --endpoint-url http://127.0.0.1:9000",
            "verify lake --endpoint-url http://127.0.0.1:9000 --path-style --region eu-west-1 --from 1763596800000 --to 2026-11-20",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
    }

    #[test]
    fn wrong_usage_is_exit_code_2_and_says_the_form() {
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
        check("flush --source ../x", "is not 1 to 64 of");
        check("status --admin https://localhost", "speaks plain HTTP");
        check("policy nothing", "[possible values: collector, role, role-trust,");
        check("policy bucket --principal forebay", "expected an ARN such as");
        check("policy bucket --bucket s3://x", "write the bucket's name alone");
        check("policy bucket --list", "cannot be used with");
        check("spool drain /x", "required");
        check("spool drain /x --to /y --config z", "cannot be used with");
        check("spool resolve /x --seal 3 --action maybe", "possible values");
        check("verify s3://lake", "without s3://");
        check("verify lake --day 20.11.2026", "expected a date such as");
        check("verify lake --day 1763596800001", "expected a date such as");
        check("verify lake --day 2026-11-20 --to 2026-11-21", "cannot be used with");
        check("verify lake --endpoint-url http://169.254.169.254", "link-local");
        check("verify lake --region a/b", "expected a region");
        check("verify lake --concurrency 0", "not in 1..=1024");
        check("receipt", "<RECEIPT>");
        check("receipt 42", "expected a receipt as the header forebay-receipt has it");
        check(
            "receipt web/1763596800000/0123456789abcdef0123456789abcdef/1-200000",
            "more than 100000 positions",
        );
        check("serv", "unrecognized subcommand");
        check("", "Usage");
    }
}
