//! The whole path on one core: durable calls per second, from an HTTP request to an object in the bucket,
//! compared with the single-thread floor. `benches/README.md` explains the figures and how to run it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

mod bare;
mod bucket;
mod calibrate;
#[path = "../corpus/mod.rs"]
mod corpus;
mod disk;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "some of it is only for the command `load`")]
mod load;
#[expect(dead_code, reason = "only the bench `scale` cuts off the store")]
mod node;
mod packed;
#[path = "../path/mod.rs"]
#[expect(dead_code, reason = "its single stages are measured by the bench `floor`")]
mod path;
#[expect(dead_code, reason = "only the bench `scale` resets peaks of memory")]
mod process;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use load::bodies::Form;
use load::{Bodies, Load, Outcome, Pace, Target};
use node::{Node, Setup};
use path::Through;
use process::{Process, on_cores};
use report::{Figures, Half, Report};

/// The collector's core.
const CORE: &[usize] = &[0];
/// The core of the load generator and of the S3 server.
const OTHER_CORE: &[usize] = &[1];
/// Long enough for the spool to start reusing its segments: the first ones are filled with zeroes, which
/// costs CPU and disk.
const WARM_UP: Duration = Duration::from_secs(2);
const FLOOR: Duration = Duration::from_secs(1);
const CALIBRATION: Duration = Duration::from_secs(2);
/// The largest number of bytes of requests in flight: no more than the queue of writes to the disk accepts at
/// once.
const UNDER_WAY_MAX: usize = 16_000_000;
/// The share of the peak at which the latency of answers and the writes to the disk are measured. The peak is
/// what is delivered: more than that is answered only as long as the spool may grow.
const SHARE_OF_PEAK: f64 = 0.5;
/// Bytes of requests for the last objects, which are made at leisure: too few to be cut by size.
const AT_LEISURE_BYTES: usize = 8_000_000;

/// Whether calls come over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    Off,
    On,
}

#[derive(Debug, Parser)]
#[command(about = "Durable calls per second on one core, compared with the single-thread floor")]
struct Args {
    /// Calls per request; the values of this and the next three options are combined to cases
    #[arg(long, value_delimiter = ',', default_value = "1,100,2400")]
    calls: Vec<usize>,
    /// Connections of the load generator; if requests are long, fewer of them are active at a time
    #[arg(long, value_delimiter = ',', default_value = "64")]
    connections: Vec<usize>,
    /// Sources that the calls come from
    #[arg(long, value_delimiter = ',', default_value = "4")]
    sources: Vec<usize>,
    /// Whether calls come over TLS
    #[arg(long, value_enum, value_delimiter = ',', default_value = "off")]
    tls: Vec<Tls>,
    /// How often everything is repeated, in turns; medians are printed
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Seconds of load for each case and repeat
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Bytes at which objects are cut: small, so that encoding and uploading never pause
    #[arg(long, default_value_t = 2_000_000)]
    flush_bytes: u64,
    /// The directory for the spool; its disk is measured
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// A directory in memory: for the bucket, which does not use the collector's disk, and for a second spool
    /// that shows the cost of the disk (B5)
    #[arg(long, default_value = "/dev/shm")]
    memory_dir: PathBuf,
    /// Another build of the program, for comparison
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Run as the server that only answers
    #[arg(long, hide = true)]
    bare: bool,
}

/// One set of parameters.
#[derive(Debug)]
struct Case<'a> {
    args: &'a Args,
    bodies: Arc<Bodies>,
    connections: usize,
    sources: usize,
    tls: bool,
    report: Report,
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
    let mut cases = cases(&args);
    for repeat in 1..=args.repeats {
        for case in &mut cases {
            let figures = case.measure();
            println!("{} repeat={repeat}: {}", case.name(), figures.line());
            case.report.push(figures);
        }
    }
    for case in &cases {
        println!("\n{} (median of {} repeats; least to most)\n{}", case.name(), args.repeats, case.report);
    }
    ExitCode::SUCCESS
}

fn cases(args: &Args) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for calls in &args.calls {
        let bodies = Arc::new(Bodies::new(*calls));
        for connections in &args.connections {
            for sources in &args.sources {
                for tls in &args.tls {
                    cases.push(Case {
                        args,
                        bodies: Arc::clone(&bodies),
                        connections: *connections,
                        sources: *sources,
                        tls: *tls == Tls::On,
                        report: Report::default(),
                    });
                }
            }
        }
    }
    cases
}

impl Case<'_> {
    fn name(&self) -> String {
        let (calls, flush) = (self.bodies.calls_per_request(), self.args.flush_bytes);
        let Self { connections, sources, .. } = self;
        let tls = if self.tls { "on" } else { "off" };
        format!(
            "durable/calls={calls}/connections={connections}/sources={sources}/tls={tls}/flush_bytes={flush}"
        )
    }

    fn longest(&self) -> usize {
        self.bodies.iter().map(<[u8]>::len).max().unwrap_or(1)
    }

    fn setup<'s>(&'s self, dir: &'s Path, spool: &'s Path) -> Setup<'s> {
        Setup {
            program: &self.args.program,
            dir,
            spool,
            cores: CORE,
            s3_cores: OTHER_CORE,
            sources: self.sources,
            tls: self.tls,
            flush_bytes: self.args.flush_bytes,
            spool_max: node::SPOOL_MAX,
        }
    }

    /// Some seconds of calls, closed loop.
    fn load(&self, target: Target, write_keys: Vec<String>) -> Load {
        Load {
            target,
            connections: self.connections,
            active: self.connections.min(UNDER_WAY_MAX / self.longest()),
            write_keys,
            pace: Pace::Closed,
            lasting: Duration::from_secs(self.args.seconds),
            acked: None,
        }
    }

    fn path(&self) -> &'static str {
        if self.bodies.calls_per_request() == 1 { Form::Single.path() } else { Form::Envelope.path() }
    }

    /// One repeat: floor, bare server, collector with its spool in memory, collector at its peak, disk,
    /// collector at half its peak, collector with little to do.
    fn measure(&self) -> Figures {
        let floor = on_cores(CORE, || path::run(&self.bodies, Through::Gzip, FLOOR));
        let bare = self.bare_server();
        let in_memory = self.in_memory();
        let (dir, spool) = (directory(&self.args.memory_dir), directory(&self.args.dir));
        let setup = self.setup(dir.path(), spool.path());
        let node = Node::start(&setup);
        let load = self.load(node.target(self.path()), setup.write_keys());

        let warm_up = self.generate(&Load { lasting: WARM_UP, ..load.clone() });
        node.flush();
        let (syncs, written) = (node.metric("forebay_sync_seconds_count"), self::written(&node));
        let (cpu, began) = (node.collector.cpu(), load::now());
        let peak = self.generate(&load);
        node.flush();
        let (took, cpu) = (began.elapsed(), node.collector.cpu().saturating_sub(cpu));
        let syncs = node.metric("forebay_sync_seconds_count") - syncs;
        let written = self::written(&node) - written;
        let block = written / syncs.max(1.0);

        #[expect(clippy::cast_precision_loss, reason = "requests of some seconds")]
        let half = self.half_of_peak(&node, spool.path(), &load, peak.requests as f64 / took.as_secs_f64());
        let under_load = bucket::names(&node.s3_dir);

        let second = Duration::from_secs(1);
        #[expect(clippy::cast_precision_loss, reason = "requests of a second")]
        let pace = Pace::Open { requests_per_second: (AT_LEISURE_BYTES / self.longest()).max(1) as f64 };
        let few = self.generate(&Load { pace, lasting: second, ..load });
        node.flush();
        let peak_rss = node.collector.peak_rss();

        let runs = [&warm_up, &peak, &half.outcome, &few];
        let refused = runs.iter().map(|run| run.refused).sum();
        let (contents, at_leisure) = bucket::contents(&node.s3_dir, &under_load);
        self.assert_whole(&runs, contents.lines + at_leisure.lines);
        Figures {
            floor,
            bare,
            in_memory,
            peak,
            took,
            cpu,
            syncs,
            block,
            written,
            half,
            peak_rss,
            contents,
            at_leisure,
            refused,
        }
    }

    /// The collector at half of what it delivers, and the disk alone in the same rhythm.
    fn half_of_peak(&self, node: &Node, spool: &Path, load: &Load, peak: f64) -> Half {
        let (syncs, written) = (node.metric("forebay_sync_seconds_count"), self::written(node));
        let disk_before = disk::written(spool);
        let pace = Pace::Open { requests_per_second: SHARE_OF_PEAK * peak };
        let began = load::now();
        let outcome = self.generate(&Load { pace, ..load.clone() });
        let syncs = node.metric("forebay_sync_seconds_count") - syncs;
        let every = began.elapsed().div_f64(syncs.max(1.0));
        let block = (self::written(node) - written) / syncs.max(1.0);
        node.flush();
        let disk_bytes = disk::written(spool).zip(disk_before).map(|(now, before)| now - before);
        Half { outcome, disk: calibrated(spool, block, every), disk_bytes }
    }

    /// Calls of refused requests may be stored or not, but all others must be there exactly once.
    fn assert_whole(&self, runs: &[&Outcome], lines: u64) {
        let acknowledged: u64 = runs.iter().map(|run| run.calls).sum();
        let refused: u64 = runs.iter().map(|run| run.refused).sum();
        let most = acknowledged + refused * self.bodies.calls_per_request();
        assert!(
            (acknowledged..=most).contains(&lines),
            "{acknowledged} calls acknowledged, {refused} requests refused, {lines} lines in the bucket"
        );
    }

    /// Calls delivered per second with the spool in memory, where syncs and writes take no time.
    #[expect(clippy::cast_precision_loss, reason = "calls of some seconds")]
    fn in_memory(&self) -> f64 {
        let (dir, spool) = (directory(&self.args.memory_dir), directory(&self.args.memory_dir));
        let setup = self.setup(dir.path(), spool.path());
        let node = Node::start(&setup);
        let load = self.load(node.target(self.path()), setup.write_keys());
        let warm_up = self.generate(&Load { lasting: WARM_UP, ..load.clone() });
        node.flush();
        let began = load::now();
        let peak = self.generate(&load);
        node.flush();
        let delivered = peak.calls as f64 / began.elapsed().as_secs_f64();
        let (contents, _) = bucket::contents(&node.s3_dir, &bucket::names(&node.s3_dir));
        self.assert_whole(&[&warm_up, &peak], contents.lines);
        delivered
    }

    fn bare_server(&self) -> Outcome {
        let program = std::env::current_exe().expect("this program");
        let mut server = Process::start(CORE, Command::new(program).arg("--bare"));
        let load = self.load(Target::plain(server.address("bare"), self.path()), vec!["bench-0".to_owned()]);
        self.generate(&Load { lasting: Duration::from_secs(1), ..load })
    }

    fn generate(&self, load: &Load) -> Outcome {
        on_cores(OTHER_CORE, || load::run(load, &self.bodies)).expect("the load reaches the server")
    }
}

fn directory(within: &Path) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("durable-").tempdir_in(within).expect("a directory")
}

fn written(node: &Node) -> f64 {
    node.metric("forebay_spool_written_bytes_total")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a block has bytes, some megabytes"
)]
fn calibrated(dir: &Path, block: f64, every: Duration) -> hdrhistogram::Histogram<u64> {
    on_cores(CORE, || calibrate::syncs(dir, block as usize, every, CALIBRATION))
}
