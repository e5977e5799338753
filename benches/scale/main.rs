//! The cost of a call depending on the size of the state: sources, connections, backlog, objects; and on two
//! cores instead of one.
//!
//! Each measurement is one line of JSON, from which `benches/plot` makes the plots of `docs/performance`.
//! `benches/README.md` explains the figures and how to run it.

#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod curve;
#[path = "../durable/disk.rs"]
mod disk;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "some of it is only for the command `load`")]
mod load;
#[path = "../durable/node.rs"]
mod node;
#[path = "../path/mod.rs"]
#[expect(dead_code, reason = "its single stages are measured by the bench `floor`")]
mod path;
mod point;
#[path = "../durable/process.rs"]
mod process;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use curve::Curve;

#[derive(Debug, Parser)]
#[command(about = "The cost of a call depending on the size of the state: one line of JSON per measurement")]
struct Args {
    /// The curves to measure
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "sources,open,active,objects,cores,backlog,drain"
    )]
    curves: Vec<Curve>,
    /// The points of a curve, instead of its default ones (GB for backlog and drain)
    #[arg(long, value_delimiter = ',')]
    points: Vec<u64>,
    /// Calls per request; by default 1 for the curves of connections and 100 for the others
    #[arg(long)]
    calls: Option<usize>,
    /// Seconds of load at each point
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often all points are measured; every second time in reverse order
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests per second for the curve `active`, over all connections
    #[arg(long, default_value_t = 5_000.0)]
    rate: f64,
    /// The directory for the spool
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// The directory for the bucket: in memory, because a bucket does not use the collector's disk
    #[arg(long, default_value = "/dev/shm")]
    memory_dir: PathBuf,
    /// The file for the lines, which is replaced; by default they are only printed
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another build of the program, for comparison
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Lines of an earlier run would be plotted along with these.
    if let Some(Err(error)) = args.out.as_ref().map(File::create) {
        eprintln!("scale: --out: {error}");
        return ExitCode::FAILURE;
    }
    for curve in &args.curves {
        if let Err(error) = curve.measure(&args) {
            eprintln!("scale: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Args {
    fn tell(&self, line: &Value) -> io::Result<()> {
        writeln!(io::stdout(), "{line}")?;
        let Some(out) = &self.out else { return Ok(()) };
        let mut out = OpenOptions::new().create(true).append(true).open(out)?;
        writeln!(out, "{line}")
    }
}
