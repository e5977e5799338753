//! What viewers of the live view cost the collector: calls delivered per second with and without one, in
//! turns; and memory with fifty. `benches/README.md` explains the figures and how to run it.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::indexing_slicing, reason = "a bench that cannot go on stops where it is")]

#[path = "../beside/mod.rs"]
mod beside;
#[path = "../corpus/mod.rs"]
mod corpus;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "some of it is only for the command `load`")]
mod load;
#[path = "../durable/node.rs"]
#[expect(dead_code, reason = "only the bench `scale` cuts off the store")]
mod node;
#[path = "../durable/process.rs"]
#[expect(dead_code, reason = "only the bench `scale` resets peaks of memory")]
mod process;
mod viewer;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use beside::{Beside, generate, median};
use load::{Bodies, Load};
use node::Node;
use viewer::Viewer;

/// The collector's core.
const CORE: &[usize] = &[0];
/// The core of the load generator, of the S3 server and of the viewers.
const OTHER_CORE: &[usize] = &[1];
const WARM_UP: Duration = Duration::from_secs(3);

#[derive(Debug, Parser)]
#[command(about = "What viewers of the live view cost the collector")]
struct Args {
    /// Calls per request
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// How often it is measured with and without a viewer, in turns
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Seconds of load for each measurement
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Viewers of the second part, which measures memory
    #[arg(long, default_value_t = 50)]
    crowd: usize,
    /// Calls of the second part
    #[arg(long, default_value_t = 1_000_000)]
    crowd_calls: u64,
    /// The directory for the spool and the bucket
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Another build of the program
    #[arg(long, default_value = env!("CARGO_BIN_EXE_forebay"))]
    program: PathBuf,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let bodies = Arc::new(Bodies::new(args.calls));
    one_viewer(&args, &bodies);
    crowd(&args, &bodies);
    ExitCode::SUCCESS
}

/// A collector in its own directory.
fn with_node<T>(args: &Args, measure: impl FnOnce(&Node, &Load) -> T) -> T {
    let beside = Beside {
        program: &args.program,
        dir: &args.dir,
        cores: CORE,
        s3_cores: OTHER_CORE,
        more: "",
        calls: args.calls,
        seconds: args.seconds,
        spool_max: node::SPOOL_MAX,
    };
    beside.measure(measure)
}

#[expect(clippy::cast_precision_loss, reason = "calls of some seconds")]
fn one_viewer(args: &Args, bodies: &Arc<Bodies>) {
    with_node(args, |node, load| {
        generate(OTHER_CORE, &Load { lasting: WARM_UP, ..load.clone() }, bodies);
        node.flush();
        let mut ratios = Vec::new();
        for repeat in 0..args.repeats {
            // Every second time in reverse order, so that a drift of the machine favours neither.
            let order = if repeat % 2 == 0 { [false, true] } else { [true, false] };
            let mut rates = [0.0; 2];
            let mut micros = [0.0; 2];
            for watched in order {
                let viewer = watched.then(|| Viewer::open(node.admin));
                let (cpu, began) = (node.collector.cpu(), load::now());
                let outcome = generate(OTHER_CORE, load, bodies);
                node.flush();
                let (took, cpu) = (began.elapsed(), node.collector.cpu().saturating_sub(cpu));
                assert_eq!(outcome.refused, 0, "requests were refused");
                let index = usize::from(watched);
                rates[index] = outcome.calls as f64 / took.as_secs_f64();
                micros[index] = cpu.as_secs_f64() * 1e6 / outcome.calls as f64;
                if let Some(viewer) = viewer {
                    let seen = viewer.close();
                    assert!(seen.calls > 0, "the viewer saw nothing");
                }
            }
            println!(
                "repeat={}: {:.0} calls/s alone, {:.0} watched; {:.2} µs of CPU a call alone, {:.2} watched",
                repeat + 1,
                rates[0],
                rates[1],
                micros[0],
                micros[1]
            );
            ratios.push((rates[1] / rates[0], micros[1] / micros[0]));
        }
        println!(
            "\none viewer: throughput × {:.3}, CPU a call × {:.3} (medians of {})",
            median(ratios.iter().map(|ratio| ratio.0).collect()),
            median(ratios.iter().map(|ratio| ratio.1).collect()),
            args.repeats
        );
    });
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
/// Memory and answers with many viewers, compared with none.
fn crowd(args: &Args, bodies: &Arc<Bodies>) {
    let mut peaks = Vec::new();
    for crowd in [0, args.crowd] {
        let (peak, calls, events) = with_node(args, |node, load| {
            let viewers: Vec<Viewer> = (0..crowd).map(|_| Viewer::open(node.admin)).collect();
            let mut calls = 0;
            while calls < args.crowd_calls {
                let outcome =
                    generate(OTHER_CORE, &Load { lasting: Duration::from_secs(2), ..load.clone() }, bodies);
                assert_eq!(outcome.refused, 0, "requests were refused");
                calls += outcome.calls;
            }
            node.flush();
            let events: Vec<u64> = viewers.into_iter().map(|viewer| viewer.close().calls).collect();
            assert!(events.iter().all(|calls| *calls > 0), "a viewer saw nothing: {events:?}");
            (node.collector.peak_rss(), calls, events.iter().sum::<u64>())
        });
        println!(
            "{crowd} viewers: {calls} calls, {events} shown, peak of memory {:.1} MiB",
            peak as f64 / 1_048_576.0
        );
        peaks.push(peak);
    }
    let more = (peaks[1] as f64 - peaks[0] as f64) / 1_048_576.0;
    println!("\n{} viewers: {more:.1} MiB more memory", args.crowd);
}
