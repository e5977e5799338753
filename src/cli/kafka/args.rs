//! Arguments of `forebay kafka`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::admin_args::AdminArgs;
use crate::cli::resolve_action::ResolveAction;
use crate::config::ByteSize;

/// `forebay kafka …`
#[derive(Clone, Debug, Subcommand)]
pub enum KafkaCommand {
    /// Make the two topics of a log, or give them more partitions; an interrupted run can be run again
    #[command(after_help = "\
Partitions can be added later, and never taken away. Settings of a topic that is there already are not changed.

Exit codes: 0 both topics are there, 1 failed or refused, 2 wrong usage or configuration.

Examples:
  forebay kafka create --partitions 12
  forebay kafka create --config writer.toml --partitions 24 --print")]
    Create(KafkaCreateArgs),
    /// Test the topics of a log, their settings and the rights on them, with what the configuration names
    #[command(after_help = "\
Run it with the configuration of a collector and with that of a writer: each has its own rights. A check of a
collector writes a block without calls. No term of a writer ends.

Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage or configuration.

Examples:
  forebay kafka check --config collector.toml
  forebay kafka check --config writer.toml --rate 20000 --writers 4")]
    Check(KafkaCheckArgs),
    /// Decide which object stays if another one has the key of a sealed one; asks the writer of the partition
    #[command(after_help = "\
With keep-theirs, the sealed object is put below segment-logs/_conflicts/ in the same bucket.

Example:
  forebay kafka resolve --partition 3 --seal 7 --action keep-theirs --config writer.toml")]
    Resolve(KafkaResolveArgs),
}

/// `forebay kafka resolve`
#[derive(Clone, Debug, Args)]
pub struct KafkaResolveArgs {
    /// Number of the partition
    #[arg(long, value_name = "N")]
    pub partition: u32,

    /// Number of the seal
    #[arg(long, value_name = "N")]
    pub seal: u64,

    /// What to do with the object
    #[arg(long, value_enum, value_name = "ACTION")]
    pub action: ResolveAction,

    /// Configuration of a writer on this machine, which is asked in place of --admin
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The writer that owns the partition
    #[command(flatten)]
    pub admin: AdminArgs,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay kafka create`
#[derive(Clone, Debug, Args)]
pub struct KafkaCreateArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Partitions of each topic: one for each 20 MB/s of calls, and 12 at least
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: u32,

    /// Copies of each partition of a topic that is made
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=15))]
    pub replication: u16,

    /// Show the commands of Kafka's own tools that do this and give rights, and do nothing
    #[arg(long)]
    pub print: bool,

    /// If the notes are gone: give the log a new id; all calls that it still has are stored again
    #[arg(long, conflicts_with = "print")]
    pub new_log: bool,
}

/// `forebay kafka check`
#[derive(Clone, Debug, Args)]
pub struct KafkaCheckArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "forebay.toml", env = "FOREBAY_CONFIG")]
    pub config: PathBuf,

    /// Calls per second of all sources together, to judge the caches
    #[arg(long, value_name = "CALLS_PER_SECOND")]
    pub rate: Option<u64>,

    /// Size of a call
    #[arg(long, value_name = "SIZE", default_value = "1 KB")]
    pub call_bytes: ByteSize,

    /// Writers that share the log
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub writers: u64,

    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}
