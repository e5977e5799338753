//! The arguments of `forebay destinations`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::args::AdminArgs;
use crate::destinations::class::Class;
use crate::destinations::select::TYPES;
use crate::sources::SourceId;

/// A command about destinations.
#[derive(Clone, Debug, Subcommand)]
pub enum DestinationsCommand {
    /// Show what the functions of a running collector's destinations got, what failed and why
    Status(StatusArgs),
    /// Test the whole path to a destination's functions from this machine, before the first call
    Test(TestArgs),
    /// Drop what waits for a destination that is no longer configured
    Remove(RemoveArgs),
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

    /// Show only attempts that ended so
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
run. With --run each function gets one call whose messageId begins with forebay-test-. A file with nothing but
destinations, as `forebay dev --config` takes it, can be tested, too. No collector needs to run.

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

    /// Also send one call to each function: it really runs
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
