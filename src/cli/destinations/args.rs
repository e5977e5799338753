//! The arguments of `forebay destinations`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::args::AdminArgs;
use crate::destinations::class::Class;
use crate::sources::SourceId;

/// A command about destinations.
#[derive(Clone, Debug, Subcommand)]
pub enum DestinationsCommand {
    /// Show what the functions of a running collector's destinations got, what failed and why
    Status(StatusArgs),
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
