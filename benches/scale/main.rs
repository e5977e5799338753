//! What a call costs against the size of the state: sources, connections, backlog, objects; and on two cores beside one.
//!
//! Each measurement is one line of JSON; `benches/plot` makes the plots of `docs/performance` of them.
//! `benches/README.md` says what the figures mean and how to run it.

#[path = "../corpus/mod.rs"]
mod corpus;
mod curve;
#[path = "../durable/disk.rs"]
mod disk;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "some of it is for the command `load`")]
mod load;
#[path = "../durable/node.rs"]
mod node;
#[path = "../path/mod.rs"]
#[expect(dead_code, reason = "its single stages are what the bench `floor` measures")]
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
#[command(about = "What a call costs against the size of the state, a line of JSON for each measurement")]
struct Args {
    /// Which curves
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "sources,open,active,objects,cores,backlog,drain"
    )]
    curves: Vec<Curve>,
    /// The points of a curve, if not its own (GB for backlog and drain)
    #[arg(long, value_delimiter = ',')]
    points: Vec<u64>,
    /// Calls in a request; if not given, 1 for the curves of connections and 100 for the others
    #[arg(long)]
    calls: Option<usize>,
    /// Seconds of load at each point
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often all points are measured; every other time in the opposite order
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Requests each second of the curve `active`, all connections together
    #[arg(long, default_value_t = 5_000.0)]
    rate: f64,
    /// Where the spool is kept meanwhile
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Where the bucket is kept: in memory, since its disk is not the collector's
    #[arg(long, default_value = "/dev/shm")]
    memory_dir: PathBuf,
    /// Where lines are kept, in place of what is there; if not given, they are printed only
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another build of the program, to compare with
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Figures of another run would be drawn among these.
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
