//! The arguments of `forebay destinations`.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::admin_args::AdminArgs;
use crate::config::Endpoint;
use crate::destinations::class::Class;
use crate::destinations::replay::ReplayFrom;
use crate::destinations::select::TYPES;
use crate::object::BucketString;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// A command about destinations.
#[derive(Clone, Debug, Subcommand)]
pub enum DestinationsCommand {
    /// Show what the functions of a running collector's destinations got, what failed and why
    Status(StatusArgs),
    /// Test the whole path to a destination's functions from this machine, before the first call
    Test(TestArgs),
    /// Send stored calls again: dead letters, calls of the archive since a time, or the calls of a file
    Replay(Box<ReplayArgs>),
    /// Drop what waits for a destination that is no longer configured
    Remove(RemoveArgs),
}

/// Which calls a replay sends, in the form that people write.
fn from(text: &str) -> Result<ReplayFrom, String> {
    if text.eq_ignore_ascii_case("dlq") {
        return Ok(ReplayFrom::Dlq);
    }
    if let Ok(at) = time(text) {
        return Ok(ReplayFrom::Time(at));
    }
    // Whether the file exists is found out when it is opened.
    if text.is_empty() { Err(FROM_FORM.to_owned()) } else { Ok(ReplayFrom::File(PathBuf::from(text))) }
}

/// The forms of `--from`.
pub(super) const FROM_FORM: &str =
    "expected DLQ, a time such as 2026-11-20T08:00:00Z or 2026-11-20, or a file";

/// A time in the form that people write: RFC 3339, or the beginning of a day (UTC).
pub(in crate::cli) fn time(text: &str) -> Result<UnixMillis, String> {
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok().or_else(day);
    at.map(|at| UnixMillis(at.timestamp_millis())).ok_or_else(|| {
        "expected a time such as 2026-11-20T08:00:00Z, or a day such as 2026-11-20 (UTC)".to_owned()
    })
}

/// `forebay destinations replay`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The command reads the bucket and invokes the functions itself, by the rules of the configuration: the
collector need not run. What --from DLQ delivers is noted in the bucket (segment-logs/_replayed/), so the next
replay sends the rest. A call may reach its function more than once, as always; its messageId is the same.
--from TIME sends what the archive has: `forebay flush` first brings there what the spool still holds.

It needs s3:ListBucket on the bucket, s3:GetObject on its objects, and with --from DLQ s3:PutObject for the
notes.

Exit codes: 0 everything was delivered, or there was nothing to send, 1 something failed, 2 wrong usage or
configuration, 130 stopped by a signal.

Examples:
  forebay destinations replay crm --from DLQ
  forebay destinations replay crm --from DLQ --class timeout --dry-run
  forebay destinations replay crm --from 2026-11-20T08:00:00Z --to 2026-11-20T09:30:00Z --source web
  forebay destinations replay crm --from letters.ndjson")]
pub struct ReplayArgs {
    /// The destination
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// Send dead letters (DLQ), calls of the archive received since a time, or the calls or dead letters of a
    /// file
    #[arg(long, value_name = "DLQ|TIME|FILE", value_parser = from)]
    pub from: ReplayFrom,

    /// With --from TIME, send only calls received before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<UnixMillis>,

    /// Send only calls of this source
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Send only dead letters with this cause
    #[arg(long, value_name = "CLASS", value_parser = PossibleValuesParser::new(Class::ALL.map(Class::slug)))]
    pub class: Option<String>,

    /// With --from DLQ, also send dead letters that were delivered by an earlier replay
    #[arg(long)]
    pub again: bool,

    /// Count the calls, and send none
    #[arg(long)]
    pub dry_run: bool,

    /// Write calls that fail into this new file, as dead letters; by default replay-NAME-TIME.ndjson, and
    /// with --from DLQ none, because the bucket has them
    #[arg(long, value_name = "FILE")]
    pub failed: Option<PathBuf>,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Read this bucket, in the form of `s3.bucket`, and not those of the configuration's sources
    #[arg(long, value_name = "BUCKET", value_parser = BucketString::of_argument)]
    pub bucket: Option<BucketString>,

    /// Endpoint of a store other than AWS; by default that of the configuration, or AWS_ENDPOINT_URL_S3
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse)]
    pub endpoint_url: Option<Endpoint>,

    /// Use URLs of the form endpoint/bucket/key instead of bucket.endpoint/key
    #[arg(long)]
    pub path_style: bool,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay destinations status`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  forebay destinations status
  forebay destinations status crm --class access-denied --limit 5")]
pub struct StatusArgs {
    /// The collector to query.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Show only this destination, with its last attempts
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: Option<SourceId>,

    /// Show only attempts with this result: success, or a class of failure
    #[arg(long, value_name = "CLASS", requires = "name", value_parser = PossibleValuesParser::new(std::iter::once("success").chain(Class::ALL.map(Class::slug))))]
    pub class: Option<String>,

    /// Show at most this many attempts
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay destinations test`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without --run no function runs: the role is assumed, with and without its external id, and the invocation is a dry
run. A web address has none: only --run tests it. With --run each function gets one call whose messageId begins with
forebay-test-. A file with nothing but
destinations, as `forebay dev --config FILE` takes it, can be tested, too. No collector needs to run.

Exit codes: 0 nothing failed, 1 something failed, 2 wrong usage or configuration.

Examples:
  forebay destinations test crm
  forebay destinations test crm --type track --run
  forebay destinations test crm --event order.json --run")]
pub struct TestArgs {
    /// The destination
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Test as calls of this source; by default the first that the destination takes
    #[arg(long, value_name = "ID", value_parser = SourceId::new)]
    pub source: Option<SourceId>,

    /// Test only the function of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = PossibleValuesParser::new(TYPES))]
    pub kind: Option<String>,

    /// Send the call in this file, a JSON object, instead of an example
    #[arg(long, value_name = "FILE", requires = "run")]
    pub event: Option<PathBuf>,

    /// Also send one call to each function, which then really runs
    #[arg(long)]
    pub run: bool,

    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay destinations remove`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  forebay destinations remove crm --discard")]
pub struct RemoveArgs {
    /// The collector to ask.
    #[command(flatten)]
    pub admin: AdminArgs,

    /// The destination, which the configuration no longer has
    #[arg(value_name = "NAME", value_parser = SourceId::new)]
    pub name: SourceId,

    /// Drop what waits for it
    #[arg(long)]
    pub discard: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_begin_with_dead_letters_a_time_or_a_file() {
        assert_eq!(from("DLQ"), Ok(ReplayFrom::Dlq));
        assert_eq!(from("dlq"), Ok(ReplayFrom::Dlq));
        assert_eq!(from("2026-11-20"), from("2026-11-20T00:00:00Z"));
        assert_eq!(from("1970-01-01T00:00:01+00:00"), Ok(ReplayFrom::Time(UnixMillis(1_000))));
        assert_eq!(
            from("2026-13-01"),
            Ok(ReplayFrom::File("2026-13-01".into())),
            "no such file is found later"
        );
        assert!(from("").is_err() && time("2026-13-01").is_err() && time("1700000000000").is_err());
    }
}
