//! The whole way on one core: durable calls a second, from an HTTP request to an object in the bucket, beside the
//! single-thread floor. `benches/README.md` says what the figures mean and how to run it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod bare;
mod bucket;
mod calibrate;
#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../load/mod.rs"]
mod load;
mod node;
#[path = "../path/mod.rs"]
#[expect(dead_code, reason = "its single stages are what the bench `floor` measures")]
mod path;
mod report;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use load::{Bodies, Form, Load, Outcome, Pace, Target};
use node::{Node, Process, on_core};
use path::Through;
use report::{Figures, Report};

/// The collector's core.
const CORE: usize = 0;
/// The core of the load generator and of the S3 server.
const OTHER_CORE: usize = 1;
/// Long enough that the spool uses its segments again: the first of them are filled with zeroes, which costs CPU and disk.
const WARM_UP: Duration = Duration::from_secs(2);
const FLOOR: Duration = Duration::from_secs(1);
const CALIBRATION: Duration = Duration::from_millis(500);
/// Bytes of requests under way at most: no more than the spool's queue before the disk takes at once.
const UNDER_WAY_MAX: usize = 16_000_000;
/// Share of the peak at which the latency of answers is measured.
const SHARE_OF_PEAK: f64 = 0.5;

#[derive(Debug, Parser)]
#[command(about = "Durable calls a second on one core, beside the single-thread floor")]
struct Args {
    /// Calls in a request, one case for each
    #[arg(long, value_delimiter = ',', default_value = "1,100,2500")]
    calls: Vec<usize>,
    /// Connections of the load generator; fewer where requests are long
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Sources that the calls come from
    #[arg(long, default_value_t = 4)]
    sources: usize,
    /// How often all of it is done, in turns; medians are printed
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Seconds of load for each case and repeat
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Bytes at which objects are cut: small, so that encoding and uploading go on all the time
    #[arg(long, default_value_t = 2_000_000)]
    flush_bytes: u64,
    /// Where spool and bucket are kept meanwhile; its disk is what is measured
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Another build of the program, to compare with
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the server that only answers
    #[arg(long, hide = true)]
    bare: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.bare {
        return match bare::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bare server: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let cases: Vec<Arc<Bodies>> = args.calls.iter().map(|calls| Arc::new(Bodies::new(*calls))).collect();
    let mut reports: Vec<Report> = cases.iter().map(|_| Report::default()).collect();
    for repeat in 1..=args.repeats {
        for (bodies, report) in cases.iter().zip(&mut reports) {
            let figures = measure(&args, bodies);
            println!("{} repeat={repeat}: {}", name(&args, bodies), figures.line());
            report.push(figures);
        }
    }
    for (bodies, report) in cases.iter().zip(&reports) {
        println!("\n{} (median of {} repeats; least to most)\n{report}", name(&args, bodies), args.repeats);
    }
    ExitCode::SUCCESS
}

fn name(args: &Args, bodies: &Bodies) -> String {
    let (calls, flush) = (bodies.calls_per_request(), args.flush_bytes);
    let (connections, sources) = (connections(args, bodies), args.sources);
    format!("durable/calls={calls}/connections={connections}/sources={sources}/flush_bytes={flush}")
}

fn connections(args: &Args, bodies: &Bodies) -> usize {
    let longest = bodies.iter().map(<[u8]>::len).max().unwrap_or(1);
    args.connections.min(UNDER_WAY_MAX / longest).max(1)
}

/// One case, once: floor, bare server, collector at its peak, disk, collector at half its peak.
fn measure(args: &Args, bodies: &Arc<Bodies>) -> Figures {
    let dir = tempfile::Builder::new().prefix("durable-").tempdir_in(&args.dir).expect("a directory");
    let floor = on_core(CORE, || path::run(bodies, Through::Gzip, FLOOR));
    let bare = bare_server(args, bodies);
    let write_keys: Vec<String> = (0..args.sources).map(|number| format!("bench-{number}")).collect();
    let node = Node::start(&args.program, dir.path(), (CORE, OTHER_CORE), &write_keys, args.flush_bytes);
    let load =
        Load { write_keys, lasting: Duration::from_secs(args.seconds), ..load_of(args, bodies, node.public) };

    let warm_up = generate(&Load { lasting: WARM_UP, ..load.clone() }, bodies);
    node.flush();
    let (syncs, written) = (node.metric("forebay_sync_seconds_count"), written(&node));
    let (cpu, began) = (node.collector.cpu(), load::now());
    let peak = generate(&load, bodies);
    node.flush();
    let (took, cpu) = (began.elapsed(), node.collector.cpu().saturating_sub(cpu));
    let syncs = node.metric("forebay_sync_seconds_count") - syncs;
    let block = (self::written(&node) - written) / syncs.max(1.0);

    let disk = calibrated(dir.path(), block);
    #[expect(clippy::cast_precision_loss, reason = "requests of some seconds")]
    let half = SHARE_OF_PEAK * peak.requests as f64 / peak.took.as_secs_f64();
    let pace = Pace::Open { requests_per_second: half };
    let at_half = generate(&Load { pace, lasting: Duration::from_secs(2), ..load }, bodies);
    node.flush();
    let peak_rss = node.collector.peak_rss();

    let refused = warm_up.refused + peak.refused + at_half.refused;
    let acknowledged = warm_up.calls + peak.calls + at_half.calls;
    let (lines, object_bytes) = bucket::lines(&node.s3_dir);
    // A refusal promises nothing: its calls may be there or not, but all of the others must, once.
    let most = acknowledged + refused * bodies.calls_per_request();
    assert!(
        (acknowledged..=most).contains(&lines),
        "{acknowledged} calls acknowledged, {refused} requests refused, {lines} lines in the bucket"
    );
    Figures {
        floor,
        bare,
        peak,
        took,
        cpu,
        syncs,
        block,
        disk,
        at_half,
        peak_rss,
        object_bytes,
        lines,
        refused,
    }
}

fn written(node: &Node) -> f64 {
    node.metric("forebay_spool_written_bytes_total")
}

fn generate(load: &Load, bodies: &Arc<Bodies>) -> Outcome {
    on_core(OTHER_CORE, || load::run(load, bodies)).expect("the load reaches the server")
}

fn bare_server(args: &Args, bodies: &Arc<Bodies>) -> Outcome {
    let program = std::env::current_exe().expect("this program");
    let mut server = Process::start(CORE, Command::new(program).arg("--bare"));
    generate(&load_of(args, bodies, server.address("bare")), bodies)
}

/// A second of calls by one source, closed loop.
fn load_of(args: &Args, bodies: &Bodies, address: SocketAddr) -> Load {
    let calls = usize::try_from(bodies.calls_per_request()).expect("calls of a request");
    let connections = connections(args, bodies);
    Load {
        target: Target::plain(address, Form::of(calls).path()),
        connections,
        active: connections,
        write_keys: vec!["bench-0".to_owned()],
        pace: Pace::Closed,
        lasting: Duration::from_secs(1),
        acked: None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a block has bytes, some megabytes"
)]
fn calibrated(dir: &Path, block: f64) -> hdrhistogram::Histogram<u64> {
    on_core(CORE, || calibrate::syncs(dir, block as usize, CALIBRATION))
}
