//! What a log over Kafka costs: CPU at collectors and writers beside the program without Kafka, takeovers, answers, and
//! the memory of a writer. Three brokers of Kafka share the machine. `benches/README.md` explains the figures and how
//! to run it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "the tests' brokers stop where they cannot go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "brokers have real clocks, and folders of tools are named outside"
)]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

#[path = "../beside/mod.rs"]
#[expect(dead_code, reason = "it starts nodes of its own")]
mod beside;
#[path = "../durable/bucket.rs"]
#[expect(dead_code, reason = "sizes of objects are measured by the bench `durable`")]
mod bucket;
#[path = "../../tests/brokers/cluster.rs"]
#[expect(dead_code, reason = "no broker is disturbed")]
mod cluster;
#[path = "../corpus/mod.rs"]
mod corpus;
mod cpu;
mod latency;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "some of it is only for the command `load`")]
mod load;
mod log;
mod memory;
#[path = "../durable/node.rs"]
#[expect(dead_code, reason = "only the bench `scale` cuts off the store")]
mod node;
#[path = "../durable/packed.rs"]
mod packed;
#[path = "../durable/process.rs"]
mod process;
mod s3;
#[path = "../../tests/brokers/support.rs"]
#[expect(dead_code, reason = "most of it is for tests")]
mod support;
mod takeover;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use cluster::Cluster;

/// The core of the processes under test.
pub(crate) const CORE: &[usize] = &[0];
/// The core of the load generator and of the S3 server. Brokers use both.
pub(crate) const OTHER_CORE: &[usize] = &[1];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU per call at collector and writer, and with eight partitions.
    Cpu,
    /// A writer that takes over what another one has not delivered.
    Takeover,
    /// Answers of a collector beside the same produce alone.
    Latency,
    /// The most memory of a writer of twelve partitions.
    Memory,
}

#[derive(Debug, Parser)]
#[command(about = "What a log over Kafka costs, on three brokers")]
struct Args {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cpu,takeover,latency,memory")]
    part: Vec<Part>,
    /// How often everything is repeated, in turns; medians are printed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Calls of each measurement of CPU: some GB, so that spools and caches use their segments again
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// Calls that a writer takes over
    #[arg(long, default_value_t = 1_000_000)]
    takeover_calls: u64,
    /// Requests, and records, of each round of answers
    #[arg(long, default_value_t = 300)]
    answers: usize,
    /// Small sources of the part about memory: with the hot one at most 10,000, as a configuration
    #[arg(long, default_value_t = 9_996)]
    sources: usize,
    /// The directory for spool and caches
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// A directory in memory, for the bucket
    #[arg(long, default_value = "/dev/shm")]
    memory_dir: PathBuf,
    /// Another build of the program, with the feature `kafka`
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all parts share.
#[derive(Debug)]
pub(crate) struct Bench<'b> {
    args: &'b Args,
    cluster: &'b Cluster,
}

impl Bench<'_> {
    pub(crate) fn program(&self) -> &Path {
        &self.args.program
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(cluster) = cluster::cluster() else { return ExitCode::FAILURE };
    let bench = Bench { args: &args, cluster: &cluster };
    for part in &args.part {
        match part {
            Part::Cpu => cpu::measure(&bench),
            Part::Takeover => takeover::measure(&bench),
            Part::Latency => latency::measure(&bench),
            Part::Memory => memory::measure(&bench),
        }
    }
    ExitCode::SUCCESS
}

/// A directory that is removed at the end.
pub(crate) fn directory(within: &Path) -> tempfile::TempDir {
    // The program is started elsewhere than here.
    let within = std::path::absolute(within).expect("a directory");
    tempfile::Builder::new().prefix("forebay-kafka-bench-").tempdir_in(within).expect("a directory")
}

/// Median, least and most, of one figure in each round.
pub(crate) fn summed(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

/// Prints a line of a table.
pub(crate) fn show(what: &str, goal: &str, digits: usize, values: impl IntoIterator<Item = f64>) {
    let (median, least, most) = summed(values);
    println!("  {what:<66} {median:>9.digits$}  ({least:.digits$} to {most:.digits$})  {goal}");
}
